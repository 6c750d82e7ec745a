import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry, Feed } from './feed.ts'
import type { View } from './view.ts'

/** Where the bytes of a stream go. */
export type Sink = {
  write(bytes: Buffer): void
  /** Ends the stream after what was written. */
  end(): void
  destroy(): void
  /** Bytes that the caller has not taken yet. */
  readonly unsentBytes: number
  /** Resolves once it has taken them, or has left. */
  drained(): Promise<void>
}

const maxUnsentBytes = 1_048_576
const catchUpBytes = 65_536
const lastBlock = 'retry: 1000\n\n'
/** Between two attempts to read the text of an event. */
const firstRestMs = 500
const maxRestMs = 10_000

/** One consumer of server-sent events. */
export class Stream {
  readonly sink: Sink
  readonly #feed: Feed
  /** Up to where it was given events, or they were filtered out. */
  position: number
  isOpen = true
  heartbeatAt = performance.now()
  /** Since when much of it is unsent. */
  stalledSince: number | undefined = undefined

  constructor(sink: Sink, feed: Feed, position: number) {
    this.sink = sink
    this.#feed = feed
    this.position = position
  }

  /** Where its consumer would go on. */
  get cursor(): string {
    return this.#feed.cursorAt(this.position)
  }

  /** Whether it has not been given the newest event. */
  get isBehind(): boolean {
    return this.position < this.#feed.last
  }

  /** One event may be beyond the limit: a consumer that has taken all before it gets it, or it would never get past. */
  write(bytes: Buffer) {
    if (!this.isOpen) return
    const isWaiting = this.sink.unsentBytes > 0
    this.sink.write(bytes)
    if (isWaiting && this.sink.unsentBytes > maxUnsentBytes) this.sink.destroy()
  }

  /** A comment and the current id: a quiet stream is seen to live, and resumes where it was. */
  heartbeat() {
    this.write(Buffer.from(`:\nid: ${this.cursor}\n\n`))
  }

  /** Its consumer comes back after a second. */
  end() {
    this.write(Buffer.from(lastBlock))
    this.sink.end()
  }
}

export type GroupOptions = {
  feed: Feed
  view: View
  position: number
  /** Events up to here were there before: they are sent only as fast as they are taken. */
  oldUpTo: number
  onDelivered: (entries: readonly Entry[]) => void
}

/** Streams of one view that stand at the same event: what they get is put together once. */
export class Group {
  readonly view: View
  readonly streams = new Set<Stream>()
  position: number
  isRunning = false
  readonly #feed: Feed
  readonly #onDelivered: GroupOptions['onDelivered']
  readonly #oldUpTo: number

  constructor({ feed, view, position, oldUpTo, onDelivered }: GroupOptions) {
    this.#feed = feed
    this.view = view
    this.position = position
    this.#oldUpTo = oldUpTo
    this.#onDelivered = onDelivered
  }

  /** Gives the streams all that is there; waits at an event whose text cannot be read. Rejects if the log was replaced or is away. */
  async flush(): Promise<void> {
    if (this.isRunning) return
    this.isRunning = true
    try {
      while (this.streams.size > 0) {
        const entries = this.#feed.after(this.position) ?? (await this.#feed.read(this.position))
        if (entries.length === 0) return
        await this.#deliver(entries)
      }
    } finally {
      this.isRunning = false
    }
  }

  async #deliver(entries: readonly Entry[]) {
    let from = this.position
    let batch: Entry[] = []
    let characters = 0
    const send = () => {
      this.#send(batch, from)
      from = this.position
      batch = []
      characters = 0
    }
    for (const entry of entries) {
      if (this.view.passes(entry.event)) {
        for (let failures = 0; entry.block === undefined && this.streams.size > 0; ) {
          const written = this.#feed.write(entry)
          if (!(written instanceof Promise)) break
          send()
          await written.catch(() => sleep(Math.min(firstRestMs * 2 ** failures++, maxRestMs), undefined, { ref: false }))
        }
        if (entry.block === undefined) return
        batch.push(this.view.isLimited ? (entry.limited ?? entry) : entry)
        characters += entry.block.length
      }
      this.position = entry.event.position
      if (characters < catchUpBytes || this.position > this.#oldUpTo) continue
      send()
      await this.#drained()
    }
    send()
  }

  /** A stream that joined on its way may have had some of the entries already. */
  #send(entries: readonly Entry[], from: number) {
    const bytes = entries.length > 0 ? bytesOf(entries) : undefined
    for (const stream of this.streams) {
      if (bytes && stream.position <= from) stream.write(bytes)
      else if (bytes) {
        const own = entries.filter(({ event }) => event.position > stream.position)
        if (own.length > 0) stream.write(bytesOf(own))
      }
      stream.position = Math.max(stream.position, this.position)
    }
    if (bytes) this.#onDelivered(entries)
  }

  async #drained() {
    const full = [...this.streams].filter(({ sink }) => sink.unsentBytes > catchUpBytes)
    await Promise.all(full.map(({ sink }) => sink.drained()))
  }
}

const bytesOf = (entries: readonly Entry[]) => Buffer.from(entries.map(({ block }) => block).join(''))
