import { Problem } from '../problem/problem.ts'
import type { EventLog, LoggedEvent } from '../store/event-log.ts'
import { StoreUnavailableError } from '../store/store.ts'
import { AccountEvents, type Page } from './account-events.ts'
import { type Consumer, Consumers, type ConsumersOptions, type Reader } from './consumers.ts'
import type { Cursor } from './cursor.ts'
import { type DescribeSend, isOfMessage, ownMessage, writeEvent } from './event-json.ts'
import { LogReplacedError } from './feed.ts'
import type { ConversationRead } from './ports.ts'
import type { Sink } from './stream.ts'
import { type ReadConversation, Texts } from './texts.ts'
import { createView, type Filters, type Viewer } from './view.ts'

export type ListQuery = Filters & { after?: Cursor | undefined; limit: number; waitMs: number }
type StreamQuery = Filters & { after?: Cursor | undefined }

/** By name: what decides of streams. Streams of a caller end when its value changes. */
export type Watched = { accounts: ReadonlyMap<string, string>; callers: ReadonlyMap<string, string> }

type LiveOptions = ConsumersOptions & {
  log: EventLog
  secret: () => Promise<Uint8Array>
  readConversation: ReadConversation
  describeSend: DescribeSend
  watched: Watched
  onDelivered: (account: string, lagMs: number) => void
}

/** Delivers the events of all accounts to streams and long polls. */
export class Live {
  readonly #options: LiveOptions
  readonly #texts: Texts
  readonly #consumers: Consumers
  readonly #accounts = new Map<string, AccountEvents>()
  #watched: Watched

  constructor(options: LiveOptions) {
    this.#options = options
    this.#texts = new Texts({ read: options.readConversation, secret: options.secret })
    this.#consumers = new Consumers(options)
    this.#watched = options.watched
  }

  isEnabled(account: string): boolean {
    return this.#watched.accounts.has(account)
  }

  /** Throws `events-not-enabled`, `too-many-streams`, `overloaded` or `store-unavailable`; rejects while a text cannot be read. */
  async list(reader: Reader, { after, limit, waitMs, ...filters }: ListQuery, cancelled: AbortSignal): Promise<Page> {
    const events = this.#eventsOf(reader.account)
    const ended = new AbortController()
    const release = waitMs > 0 ? this.#hold({ reader, end: () => ended.abort() }) : undefined
    try {
      const view = createView(reader, filters)
      const signal = AbortSignal.any([cancelled, ended.signal])
      return await events.list(view, after, limit, this.#consumers.isDraining ? 0 : waitMs, signal).catch(asProblem)
    } finally {
      release?.()
    }
  }

  /** Opens a stream; `undefined` for a cursor is now. Throws the same. Call what it returns once the caller has left. */
  async stream(reader: Reader, { after, ...filters }: StreamQuery, makeSink: () => Sink): Promise<() => void> {
    const events = this.#eventsOf(reader.account)
    let isEnded = false
    const consumer: Consumer = {
      reader,
      end() {
        isEnded = true
        consumer.stream?.sink.end()
      },
    }
    const release = this.#hold(consumer)
    try {
      const begin = await events.begin(after).catch(asProblem)
      const stream = events.stream(begin, createView(reader, filters), makeSink())
      if (this.#consumers.isDraining) stream.end()
      else if (isEnded) stream.sink.end()
      consumer.stream = stream
      return () => {
        events.leave(stream)
        release()
      }
    } catch (error) {
      release()
      throw error
    }
  }

  /** An event of the log as JSON, with its text. Rejects while that cannot be read; `learntAt` is of the clock that never jumps. */
  async write({ account, chats }: Pick<Viewer, 'account' | 'chats'>, id: string, event: LoggedEvent, learntAt: number): Promise<string> {
    const message = isOfMessage(event) ? await this.#texts.find(account, event, learntAt) : null
    return writeEvent(event, id, chats ? ownMessage(event, message) : message, this.#options.describeSend)
  }

  /** What the poller has read of a conversation, before it appends its events. */
  remember(read: ConversationRead): void {
    this.#texts.remember(read)
  }

  /** Applies another configuration: ends the streams of callers and accounts that have changed. */
  reload(next: Watched): void {
    const before = this.#watched
    this.#watched = next
    this.#consumers.keep(
      ({ account, name }) =>
        before.accounts.get(account) === next.accounts.get(account) && before.callers.get(name) === next.callers.get(name),
    )
    for (const [account, events] of this.#accounts) {
      if (next.accounts.has(account)) continue
      this.#accounts.delete(account)
      events.close()
    }
  }

  /** Ends every stream within that time, and answers every long poll. */
  async drain(ms: number): Promise<void> {
    for (const events of this.#accounts.values()) events.answerAll()
    await this.#consumers.drain(ms)
  }

  report(): { account: string; streams: number; behind: number }[] {
    return [...this.#watched.accounts.keys()].map(account => {
      const streams = this.#accounts.get(account)?.streams ?? []
      return { account, streams: streams.length, behind: streams.filter(({ isBehind }) => isBehind).length }
    })
  }

  close(): void {
    this.#consumers.close()
    for (const events of this.#accounts.values()) events.close()
  }

  /** Ends a consumer at once whose caller a reload has changed since it was authenticated: its requests are counted in between. */
  #hold(consumer: Consumer): () => void {
    const release = this.#consumers.hold(consumer)
    const { name, config } = consumer.reader
    if (this.#watched.callers.get(name) !== config) consumer.end()
    return release
  }

  #eventsOf(account: string): AccountEvents {
    if (!this.isEnabled(account)) throw new Problem('events-not-enabled')
    const { log, describeSend, onDelivered } = this.#options
    const known =
      this.#accounts.get(account) ??
      new AccountEvents({ account, log, texts: this.#texts, describeSend, onDelivered: lagMs => onDelivered(account, lagMs) })
    this.#accounts.set(account, known)
    return known
  }
}

/** A lost store is a problem of its own; what Afilnet answers is the route's to name. */
function asProblem(error: unknown): never {
  if (error instanceof StoreUnavailableError) throw new Problem('store-unavailable', { detail: 'The event log cannot be read.' })
  if (error instanceof LogReplacedError) throw new Problem('store-unavailable', { detail: 'The event log was replaced just now.' })
  throw error
}
