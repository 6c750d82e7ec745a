import { pause } from '../lib/pause.ts'
import type { Cursor } from './cursor.ts'
import { type Entry, type Feed, type FeedOptions, LogReplacedError } from './feed.ts'
import { Groups } from './groups.ts'
import { OpenFeed } from './open-feed.ts'
import { type Sink, Stream } from './stream.ts'
import type { View } from './view.ts'

type AccountEventsOptions = Omit<FeedOptions, 'onNews' | 'onReplaced'> & {
  /** Streams that keep up were given an event: how long after Afilnet's answer had arrived. */
  onDelivered: (lagMs: number) => void
}

/** Where a consumer begins, and up to where the events were there before it; the `gap` comes first. */
type Start = { position: number; oldUpTo: number; gap?: Entry }

/** A page of events for a list; without items the position has still moved. */
export type Page = { items: string[]; nextCursor: string }

const firstBlock = 'retry: 3000\n'
const mostScanned = 5_000 // of one list that does not wait: a filter with few matches answers with a cursor to go on from

/** The consumers of one account's events. */
export class AccountEvents {
  readonly #options: AccountEventsOptions
  readonly #groups: Groups
  readonly #waiters = new Set<AbortController>()
  readonly #closing = new AbortController()
  readonly #feed: OpenFeed

  constructor(options: AccountEventsOptions) {
    this.#options = options
    this.#groups = new Groups({ onDelivered: options.onDelivered, onReplaced: () => this.#replaced() })
    this.#feed = new OpenFeed({
      ...options,
      onNews: () => this.#onNews(),
      onReplaced: () => this.#replaced(),
      isUsed: () => this.#groups.size + this.#waiters.size > 0,
    })
  }

  get streams(): Stream[] {
    return this.#groups.streams
  }

  /**
   * A page of the events after a cursor (or from the oldest), of at most `limit`. With `waitMs` it waits for the first one.
   *
   * Rejects while the text of one of them cannot be read, or the store is away.
   */
  async list(view: View, after: Cursor | undefined, limit: number, waitMs: number, cancelled: AbortSignal): Promise<Page> {
    const feed = await this.#feed.open()
    const { items, position } = await this.#collect(feed, view, after, limit, waitMs, AbortSignal.any([cancelled, this.#closing.signal]))
    const written: string[] = []
    for (const entry of items) {
      const json = await feed.write(entry)
      written.push((view.isLimited && entry.limited?.json) || json)
    }
    const last = items.at(-1)
    const isGapLast = last?.event.position === position && last.event.type === 'gap'
    return { items: written, nextCursor: isGapLast ? last.id : feed.cursorAt(position) }
  }

  async #collect(feed: Feed, view: View, after: Cursor | undefined, limit: number, waitMs: number, ended: AbortSignal) {
    const items: Entry[] = []
    const start = await this.#startAfter(feed, after)
    let { position } = start
    if (start.gap) items.push(start.gap)
    const until = performance.now() + waitMs
    const waits = () => items.length === 0 && performance.now() < until && !ended.aborted
    for (let scanned = 0; scanned < mostScanned || waits(); ) {
      const known = feed.last // the last events before it may have been erased
      const entries = await feed.read(position)
      scanned += entries.length
      for (const entry of entries) {
        if (items.length === limit) return { items, position }
        position = entry.event.position
        if (view.passes(entry.event)) items.push(entry)
      }
      if (entries.length > 0) continue
      if (!waits()) break
      await this.#news(until - performance.now(), ended, () => feed.isClosed || feed.last > known)
      if (ended.aborted) break
      if (feed.isClosed) throw new LogReplacedError() // it announces no news any more
    }
    return { items, position }
  }

  /** Where a stream after a cursor begins, or one from now on. Rejects while the store is away. */
  async begin(after: Cursor | undefined): Promise<Start & { feed: Feed }> {
    const feed = await this.#feed.open()
    const start: Start = after ? await this.#startAfter(feed, after) : { position: feed.last, oldUpTo: feed.last }
    await (start.gap && feed.write(start.gap))
    return { feed, ...start }
  }

  /**
   * Opens a stream; it lasts until its sink is closed: call `leave` then.
   *
   * A stream with a `gap` has no id before it: a consumer that resumed there would never get the gap.
   */
  stream({ feed, position, oldUpTo, gap }: Start & { feed: Feed }, view: View, sink: Sink): Stream {
    const stream = new Stream(sink, feed, position)
    stream.write(Buffer.from(`${firstBlock}${gap ? `\n${gap.block}` : `id: ${stream.cursor}\n\n`}`))
    this.#groups.join(feed, view, stream, oldUpTo)
    return stream
  }

  leave(stream: Stream) {
    this.#groups.leave(stream)
    this.#feed.closeIfIdle()
  }

  /** Answers every long poll. */
  answerAll() {
    this.#closing.abort()
  }

  close() {
    this.#closing.abort()
    this.#groups.close()
    this.#feed.close()
  }

  /** A consumer without a cursor begins with the oldest event, and has missed nothing. */
  async #startAfter(feed: Feed, after: Cursor | undefined): Promise<Start> {
    const { mark } = await this.#options.log.read(feed.account, Number.MAX_SAFE_INTEGER, 1)
    if (mark?.identity !== feed.identity) throw new LogReplacedError()
    if (!after) return { position: mark.trimmed, oldUpTo: mark.last }
    const reason = after.identity !== mark.identity || after.position > mark.last ? 'log-replaced' : 'retention'
    if (reason === 'retention' && after.position >= mark.trimmed) return { position: after.position, oldUpTo: mark.last }
    return { position: mark.trimmed, oldUpTo: mark.last, gap: feed.gap(mark, reason) }
  }

  async #news(ms: number, ended: AbortSignal, isThere: () => boolean) {
    if (isThere()) return
    const waiter = new AbortController()
    this.#waiters.add(waiter)
    await pause(ms, AbortSignal.any([waiter.signal, ended]))
    this.#waiters.delete(waiter)
  }

  #onNews() {
    this.#groups.flush()
    for (const waiter of this.#waiters) waiter.abort()
  }

  /** Consumers begin anew with another log: their cursors get them a `gap`. */
  #replaced() {
    this.#feed.close()
    this.#groups.close()
    for (const waiter of this.#waiters) waiter.abort()
  }
}
