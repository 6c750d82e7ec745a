import { Slots } from './slots.ts'
import type { Stream } from './stream.ts'
import type { Viewer } from './view.ts'

/** Who reads events, and how many streams it may have; `config` is all of its configuration. */
export type Reader = Viewer & { config: string; rateLimit?: { streams?: number } | undefined; expires?: string | undefined }

/** A stream or a long poll. */
export type Consumer = { reader: Reader; end: () => void; stream?: Stream }

export type ConsumersOptions = {
  maxStreams?: number
  /** How long a stream may be silent before it gets a heartbeat, and how often that is checked. */
  heartbeatMs?: number
  tickMs?: number
}

const stalledMs = 60_000
const stalledBytes = 65_536

/** All streams and long polls of the process: each holds a slot, ends with its key or token, and a stream shows that it lives. */
export class Consumers {
  readonly #open = new Map<Consumer, number>()
  readonly #slots: Slots
  readonly #heartbeatMs: number
  readonly #timer: NodeJS.Timeout
  isDraining = false

  constructor({ maxStreams = 5_000, heartbeatMs = 14_500, tickMs = 500 }: ConsumersOptions) {
    this.#slots = new Slots(maxStreams)
    this.#heartbeatMs = heartbeatMs // with the tick at most 15 s
    this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** Takes a slot for a consumer, which is ended where another one needs it; returns what frees it. Throws `too-many-streams` and `overloaded`. */
  hold(consumer: Consumer): () => void {
    const { name, token, rateLimit } = consumer.reader
    const release = this.#slots.take({ key: name, tokenId: token?.id, maxOfKey: rateLimit?.streams, evict: consumer.end })
    this.#open.set(consumer, endOf(consumer.reader))
    return () => {
      this.#open.delete(consumer)
      release()
    }
  }

  /** Ends those whose reader has changed. */
  keep(isSame: (reader: Reader) => boolean) {
    for (const { reader, end } of this.#open.keys()) if (!isSame(reader)) end()
  }

  /** Ends every stream, one after the other, within that time. */
  async drain(ms: number) {
    this.isDraining = true
    const streams = [...this.#open.keys()].flatMap(({ stream }) => stream ?? [])
    const eachMs = Math.min(20, ms / Math.max(1, streams.length))
    await Promise.all(
      streams.map(async (stream, n) => {
        await new Promise(resolve => setTimeout(resolve, n * eachMs))
        stream.end()
      }),
    )
  }

  close() {
    clearInterval(this.#timer)
  }

  #tick() {
    const now = performance.now()
    for (const [{ stream, end }, endsAt] of this.#open) {
      if (Date.now() >= endsAt) end()
      else if (stream) this.#watch(stream, now)
    }
  }

  #watch(stream: Stream, now: number) {
    if (now - stream.heartbeatAt >= this.#heartbeatMs) {
      stream.heartbeatAt = now
      stream.heartbeat()
    }
    stream.stalledSince = stream.sink.unsentBytes < stalledBytes ? undefined : (stream.stalledSince ?? now)
    if (stream.stalledSince !== undefined && now - stream.stalledSince > stalledMs) stream.sink.destroy()
  }
}

/** When the key or the token of a reader expires. */
const endOf = ({ token, expires }: Reader) =>
  Math.min(token?.expiresAt ?? Number.POSITIVE_INFINITY, expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires))
