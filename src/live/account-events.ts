import { setTimeout as sleep } from 'node:timers/promises'
import type { EventLog } from '../store/event-log.ts'
import type { Cursor } from './cursor.ts'
import { type Entry, Feed, type FeedOptions, LogReplacedError } from './feed.ts'
import { Group, type Sink, Stream } from './stream.ts'
import type { View } from './view.ts'

export type AccountEventsOptions = Omit<FeedOptions, 'onNews' | 'onReplaced'> & {
  log: EventLog
  /** Consumers have been given events: how long after the gateway learnt of them. */
  onDelivered: (lagMs: number) => void
}

/** Where a stream begins; the `gap` comes first. */
export type Begin = { feed: Feed; position: number; gap?: Entry }

/** A page of events for a list; without items the position has still moved. */
export type Page = { items: string[]; nextCursor: string }

const firstBlock = 'retry: 3000\n'
const lastBlock = 'retry: 1000\n\n'
const idleMs = 60_000
const maxRestMs = 10_000
const mostScanned = 5_000 // of one list: a filter with few matches answers with a cursor to go on from
/** Many streams get what came within a moment together: a write for each event would cost more than the events. */
const pauseMs = (streams: number) => Math.min(50, streams / 40)

/** The consumers of one account's events. */
export class AccountEvents {
  readonly #options: AccountEventsOptions
  readonly #groups = new Map<string, Group>()
  readonly #own = new Set<Group>()
  readonly #waiters = new Set<() => void>()
  readonly #closing = new AbortController()
  #feed: Promise<Feed> | undefined
  #idle: NodeJS.Timeout | undefined
  #pausedUntil = 0
  #paused: NodeJS.Timeout | undefined

  constructor(options: AccountEventsOptions) {
    this.#options = options
  }

  get streams(): Stream[] {
    return [...this.#groups.values(), ...this.#own].flatMap(({ streams }) => [...streams])
  }

  /** Streams that have not been given the newest event. */
  get behind(): number {
    return [...this.#own].reduce((sum, { streams }) => sum + streams.size, 0)
  }

  /**
   * A page of the events after a cursor (or from the oldest), of at most `limit`. With `waitMs` it waits for the first one.
   *
   * Rejects while the text of one of them cannot be read, or the store is away.
   */
  async list(view: View, after: Cursor | undefined, limit: number, waitMs: number, cancelled: AbortSignal): Promise<Page> {
    const feed = await this.#open()
    const { items, position } = await this.#collect(feed, view, after, limit, waitMs, AbortSignal.any([cancelled, this.#closing.signal]))
    const written: string[] = []
    for (const entry of items) written.push(await feed.write(entry))
    const last = items.at(-1)
    const isGapLast = last?.event.position === position && last.event.type === 'gap'
    return { items: written, nextCursor: isGapLast ? last.id : feed.cursorAt(position) }
  }

  async #collect(feed: Feed, view: View, after: Cursor | undefined, limit: number, waitMs: number, ended: AbortSignal) {
    const items: Entry[] = []
    const begin = await this.#begin(feed, after, 0)
    let { position } = begin
    if (begin.gap) items.push(begin.gap)
    const until = performance.now() + waitMs
    for (let scanned = 0; scanned < mostScanned; ) {
      const entries = await feed.read(position)
      scanned += entries.length
      for (const entry of entries) {
        if (items.length === limit) return { items, position }
        position = entry.event.position
        if (view.passes(entry.event)) items.push(entry)
      }
      if (entries.length > 0) continue
      const leftMs = until - performance.now()
      if (items.length > 0 || leftMs <= 0 || ended.aborted) break
      await this.#news(leftMs, ended, () => feed.last > position)
      scanned = 0
    }
    return { items, position }
  }

  /** Where a stream after a cursor begins, or one from now on. Rejects while the store is away. */
  async begin(after: Cursor | undefined): Promise<Begin> {
    const feed = await this.#open()
    const { position, gap } = await this.#begin(feed, after, feed.last)
    await (gap && feed.write(gap))
    return { feed, position, ...(gap && { gap }) }
  }

  /** Opens a stream; it lasts until its sink is closed, which `leave` must be told. */
  stream({ feed, position, gap }: Begin, view: View, sink: Sink): Stream {
    const stream = new Stream(sink, position)
    stream.write(Buffer.from(`${firstBlock}id: ${feed.cursorAt(position)}\n\n${gap?.block ?? ''}`))
    const group = this.#groupOf(feed, view, position)
    group.streams.add(stream)
    void this.#flush(group)
    return stream
  }

  leave(stream: Stream) {
    stream.isOpen = false
    for (const [key, group] of this.#groups) if (group.streams.delete(stream) && group.streams.size === 0) this.#groups.delete(key)
    for (const group of this.#own) if (group.streams.delete(stream)) this.#own.delete(group)
    this.#rest()
  }

  /** A comment and the current id: a quiet stream is seen to live, and resumes where it was. */
  async beat(stream: Stream) {
    const feed = await this.#feed
    if (feed) stream.write(Buffer.from(`:\nid: ${feed.cursorAt(stream.position)}\n\n`))
  }

  /** Ends every stream; its consumer comes back after a second. */
  end(stream: Stream) {
    stream.write(Buffer.from(lastBlock))
    stream.sink.end()
  }

  /** Answers every long poll. */
  answerAll() {
    this.#closing.abort()
  }

  close() {
    this.#closing.abort()
    clearTimeout(this.#idle)
    clearTimeout(this.#paused)
    for (const stream of this.streams) stream.sink.end()
    void this.#feed?.then(feed => feed.close()).catch(() => {})
    this.#feed = undefined
  }

  /** Where a consumer begins, and the `gap` that it gets first. */
  async #begin(feed: Feed, after: Cursor | undefined, otherwise: number): Promise<Omit<Begin, 'feed'>> {
    if (!after) return { position: otherwise }
    const { mark } = await this.#options.log.read(feed.account, Number.MAX_SAFE_INTEGER, 1)
    if (mark?.identity !== feed.identity) throw new LogReplacedError()
    const reason = after.identity !== mark.identity || after.position > mark.last ? 'log-replaced' : 'retention'
    if (reason === 'retention' && after.position >= mark.trimmed) return { position: after.position }
    return { position: mark.trimmed, gap: feed.gap(mark, reason) }
  }

  /** The group of the view, or one of its own for a stream that has to catch up first. */
  #groupOf(feed: Feed, view: View, position: number): Group {
    const shared = this.#groups.get(view.key)
    if (shared && shared.position === position && !shared.isRunning) return shared
    const group = new Group(feed, view, position, entries => {
      for (const { learntAt } of entries) this.#options.onDelivered(performance.now() - learntAt)
    })
    if (!shared && position === feed.last) this.#groups.set(view.key, group)
    else this.#own.add(group)
    return group
  }

  async #flush(group: Group) {
    try {
      await group.flush(failures => sleep(Math.min(250 * 2 ** failures, maxRestMs), undefined, { ref: false }))
    } catch (error) {
      if (error instanceof LogReplacedError) return this.#replaced()
      setTimeout(() => this.#flush(group), 1_000).unref() // the store is away
      return
    }
    if (this.#own.has(group)) this.#merge(group)
  }

  /** A stream that has caught up joins the others of its view. */
  #merge(group: Group) {
    const shared = this.#groups.get(group.view.key)
    if (shared && (shared.position !== group.position || shared.isRunning)) return
    this.#own.delete(group)
    if (!shared) this.#groups.set(group.view.key, group)
    else for (const stream of group.streams) shared.streams.add(stream)
  }

  #flushAll() {
    clearTimeout(this.#paused)
    this.#paused = undefined
    let streams = 0
    for (const group of [...this.#groups.values(), ...this.#own]) {
      streams += group.streams.size
      void this.#flush(group)
    }
    for (const wake of this.#waiters) wake()
    this.#pausedUntil = performance.now() + pauseMs(streams)
  }

  #onNews() {
    const leftMs = this.#pausedUntil - performance.now()
    if (leftMs <= 1) this.#flushAll()
    else this.#paused ??= setTimeout(() => this.#flushAll(), leftMs).unref()
  }

  async #news(ms: number, ended: AbortSignal, isThere: () => boolean) {
    if (isThere()) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#waiters.add(resolve)
    ended.addEventListener('abort', () => resolve(), { once: true })
    await promise
    clearTimeout(timer)
    this.#waiters.delete(resolve)
  }

  /** Consumers begin anew with another log: their cursors get them a `gap`. */
  #replaced() {
    const streams = this.streams
    void this.#feed?.then(feed => feed.close()).catch(() => {})
    this.#feed = undefined
    this.#groups.clear()
    this.#own.clear()
    for (const stream of streams) stream.sink.end()
    for (const wake of this.#waiters) wake()
  }

  #open(): Promise<Feed> {
    clearTimeout(this.#idle)
    if (!this.#feed) {
      const feed = new Feed({ ...this.#options, onNews: () => this.#onNews(), onReplaced: () => this.#replaced() })
      const opening = feed.open().then(() => feed)
      this.#feed = opening
      opening.catch(() => {
        if (this.#feed === opening) this.#feed = undefined
      })
    }
    this.#rest()
    return this.#feed
  }

  /** Without consumers the log is not watched for long. */
  #rest() {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      if (this.#groups.size + this.#own.size + this.#waiters.size > 0) return
      void this.#feed?.then(feed => feed.close()).catch(() => {})
      this.#feed = undefined
    }, idleMs).unref()
  }
}
