import { Problem } from '../problem/problem.ts'
import type { EventLog, LoggedEvent } from '../store/event-log.ts'
import { StoreUnavailableError } from '../store/store.ts'
import { AccountEvents, type Page } from './account-events.ts'
import { type Consumer, Consumers, type ConsumersOptions, type Reader } from './consumers.ts'
import { type Cursor, readCursor } from './cursor.ts'
import { type DescribeSend, isOfMessage, writeEvent } from './event-json.ts'
import { LogReplacedError } from './feed.ts'
import type { ConversationRead } from './ports.ts'
import type { Sink } from './stream.ts'
import { type ReadConversation, Texts } from './texts.ts'
import { createView, type Filters } from './view.ts'

export type Live = {
  /** Throws `events-not-enabled`, `too-many-streams`, `overloaded` or `store-unavailable`; rejects while a text cannot be read. */
  list(reader: Reader, query: ListQuery, cancelled: AbortSignal): Promise<Page>
  /** Opens a stream; `undefined` for a cursor is now. Throws the same. Call what it returns once the caller has left. */
  stream(reader: Reader, query: StreamQuery, sink: () => Sink): Promise<() => void>
  /** Reads the cursor of a consumer; `undefined` if it is malformed or another account's. */
  readCursor(account: string, text: string): Cursor | undefined
  isEnabled(account: string): boolean
  /** An event of the log as JSON, with its text. Rejects while that cannot be read; `learntAt` is of the clock that never jumps. */
  write(account: string, id: string, event: LoggedEvent, learntAt: number): Promise<string>
  /** What the poller has read of a conversation, before it appends its events. */
  remember(read: ConversationRead): void
  /** Applies another configuration: ends the streams of callers and accounts that have changed. */
  reload(next: Watched): void
  /** Ends every stream within that time, and answers every long poll. */
  drain(ms: number): Promise<void>
  report(): { account: string; streams: number; behind: number }[]
  close(): void
}

export type ListQuery = Filters & { after?: Cursor | undefined; limit: number; waitMs: number }
export type StreamQuery = Filters & { after?: Cursor | undefined }

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
export function createLive({ watched: given, onDelivered, ...options }: LiveOptions): Live {
  const texts = new Texts({ read: options.readConversation, secret: options.secret })
  const accounts = new Map<string, AccountEvents>()
  const consumers = new Consumers(options)
  let watched = given

  function eventsOf(account: string): AccountEvents {
    if (!watched.accounts.has(account)) throw new Problem('events-not-enabled')
    const { log, describeSend } = options
    const known =
      accounts.get(account) ?? new AccountEvents({ account, log, texts, describeSend, onDelivered: lagMs => onDelivered(account, lagMs) })
    accounts.set(account, known)
    return known
  }

  return {
    async list(reader, { after, limit, waitMs, ...filters }, cancelled) {
      const events = eventsOf(reader.account)
      const ended = new AbortController()
      const release = waitMs > 0 ? consumers.hold({ reader, events, end: () => ended.abort() }) : undefined
      try {
        return await events
          .list(createView(reader, filters), after, limit, consumers.isDraining ? 0 : waitMs, AbortSignal.any([cancelled, ended.signal]))
          .catch(asProblem)
      } finally {
        release?.()
      }
    },

    async stream(reader, { after, ...filters }, makeSink) {
      const events = eventsOf(reader.account)
      let isEnded = false
      const consumer: Consumer = {
        reader,
        events,
        end() {
          isEnded = true
          consumer.stream?.sink.end()
        },
      }
      const release = consumers.hold(consumer)
      try {
        const begin = await events.begin(after).catch(asProblem)
        const stream = events.stream(begin, createView(reader, filters), makeSink())
        if (consumers.isDraining) events.end(stream)
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
    },

    readCursor,
    isEnabled: account => watched.accounts.has(account),
    async write(account, id, event, learntAt) {
      const message = isOfMessage(event) ? await texts.find(account, event, learntAt) : null
      return writeEvent(event, id, message, options.describeSend)
    },
    remember: read => texts.remember(read),

    reload(next) {
      const before = watched
      watched = next
      consumers.keep(
        ({ account, name }) =>
          before.accounts.get(account) === next.accounts.get(account) && before.callers.get(name) === next.callers.get(name),
      )
      for (const [account, events] of accounts) {
        if (next.accounts.has(account)) continue
        accounts.delete(account)
        events.close()
      }
    },

    async drain(ms) {
      for (const events of accounts.values()) events.answerAll()
      await consumers.drain(ms)
    },

    report: () =>
      [...watched.accounts.keys()].map(account => {
        const { streams = [], behind = 0 } = accounts.get(account) ?? {}
        return { account, streams: streams.length, behind }
      }),
    close() {
      consumers.close()
      for (const events of accounts.values()) events.close()
    },
  }
}

/** A lost store is a problem of its own; what Afilnet answers is the route's to name. */
function asProblem(error: unknown): never {
  if (error instanceof StoreUnavailableError) throw new Problem('store-unavailable', { detail: 'The event log cannot be read.' })
  if (error instanceof LogReplacedError) throw new Problem('store-unavailable', { detail: 'The event log was replaced just now.' })
  throw error
}
