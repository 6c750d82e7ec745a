import type { Entry, Feed } from './feed.ts'
import type { View } from './view.ts'

/** Where the bytes of a stream go. */
export type Sink = {
  write(bytes: Buffer): void
  /** Ends the stream after what was written. */
  end(): void
  /** Ends it at once. */
  destroy(): void
  /** Bytes that the caller has not taken yet. */
  readonly unsentBytes: number
  /** Resolves once it has taken them, or has left. */
  drained(): Promise<void>
}

const maxUnsentBytes = 1_048_576
const catchUpBytes = 65_536

/** One consumer of server-sent events. */
export class Stream {
  readonly sink: Sink
  /** Up to where it was given events, or they were filtered out. */
  position: number
  isOpen = true
  beatAt = performance.now()
  /** Since when much of it is unsent. */
  stalledSince: number | undefined = undefined

  constructor(sink: Sink, position: number) {
    this.sink = sink
    this.position = position
  }

  write(bytes: Buffer) {
    if (!this.isOpen) return
    this.sink.write(bytes)
    if (this.sink.unsentBytes > maxUnsentBytes) this.sink.destroy()
  }
}

/** Streams of one view that stand at the same event: what they get is put together once. */
export class Group {
  readonly view: View
  readonly streams = new Set<Stream>()
  position: number
  readonly #feed: Feed
  readonly #onDelivered: (entries: readonly Entry[]) => void
  #running = false

  constructor(feed: Feed, view: View, position: number, onDelivered: (entries: readonly Entry[]) => void) {
    this.#feed = feed
    this.view = view
    this.position = position
    this.#onDelivered = onDelivered
  }

  get isRunning() {
    return this.#running
  }

  /** Gives the streams all that is there; waits at an event whose text cannot be read. Rejects if the log was replaced or is away. */
  async flush(rest: (failures: number) => Promise<void>): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      while (this.streams.size > 0) {
        const entries = this.#feed.after(this.position) ?? (await this.#feed.page(this.position))
        if (entries.length === 0) return
        await this.#deliver(entries, rest)
        if (this.position < this.#feed.last) await this.#drained()
      }
    } finally {
      this.#running = false
    }
  }

  async #deliver(entries: readonly Entry[], rest: (failures: number) => Promise<void>) {
    let from = this.position
    let batch: Entry[] = []
    for (const entry of entries) {
      if (this.view.passes(entry.event)) {
        for (let failures = 0; entry.block === undefined && this.streams.size > 0; ) {
          const written = this.#feed.write(entry)
          if (!(written instanceof Promise)) break
          this.#send(batch, from)
          batch = []
          from = this.position
          await written.catch(() => rest(++failures))
        }
        if (entry.block === undefined) return
        batch.push(entry)
      }
      this.position = entry.event.position
    }
    this.#send(batch, from)
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

  /** Old events are sent only as fast as they are taken, where nobody else waits for them. */
  async #drained() {
    if (this.streams.size > 1) return
    const full = [...this.streams].filter(({ sink }) => sink.unsentBytes > catchUpBytes)
    await Promise.all(full.map(({ sink }) => sink.drained()))
  }
}

const bytesOf = (entries: readonly Entry[]) => Buffer.from(entries.map(({ block }) => block).join(''))
