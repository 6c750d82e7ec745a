import { Problem } from '../problem/problem.ts'
import type { EventLog, LoggedEvent } from '../store/event-log.ts'
import { StoreUnavailableError } from '../store/store.ts'
import { AccountEvents, type Page } from './account-events.ts'
import { type Cursor, readCursor } from './cursor.ts'
import { type DescribeSend, isOfMessage, writeEvent } from './event-json.ts'
import { LogReplacedError } from './feed.ts'
import type { ConversationRead } from './ports.ts'
import { type Holder, Slots } from './slots.ts'
import type { Sink, Stream } from './stream.ts'
import { type ReadConversation, Texts } from './texts.ts'
import { createView, type Filters, type Viewer } from './view.ts'

/** Who reads events, and how many streams it may have. */
export type Reader = Viewer & { rateLimit?: { streams?: number } | undefined; expires?: string | undefined }

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

type LiveOptions = {
  log: EventLog
  secret: () => Promise<Uint8Array>
  readConversation: ReadConversation
  describeSend: DescribeSend
  watched: Watched
  onDelivered: (account: string, lagMs: number) => void
  maxStreams?: number
}

type Open = { reader: Reader; stream: Stream; events: AccountEvents; endsAt: number }

const beatMs = 14_500 // looked at once a second, to be at most 15 s
const tickMs = 500
const stalledMs = 60_000
const stalledBytes = 65_536

/** Delivers the events of all accounts to streams and long polls. */
export function createLive({ watched: given, maxStreams = 5_000, onDelivered, ...options }: LiveOptions): Live {
  const texts = new Texts({ read: options.readConversation, secret: options.secret })
  const accounts = new Map<string, AccountEvents>()
  const open = new Set<Open>()
  const slots = new Slots(maxStreams)
  let watched = given
  const timer = setInterval(tick, tickMs).unref()

  function eventsOf(account: string): AccountEvents {
    if (!watched.accounts.has(account)) throw new Problem('events-not-enabled')
    const { log, describeSend } = options
    const known =
      accounts.get(account) ?? new AccountEvents({ account, log, texts, describeSend, onDelivered: lagMs => onDelivered(account, lagMs) })
    accounts.set(account, known)
    return known
  }

  const holderOf = ({ name, token, rateLimit }: Reader, evict: () => void): Holder => ({
    key: name,
    tokenId: token?.id,
    maxOfKey: rateLimit?.streams,
    evict,
  })

  function tick() {
    const now = performance.now()
    for (const { stream, events, endsAt } of open) {
      if (Date.now() >= endsAt) stream.sink.end()
      else if (now - stream.beatAt >= beatMs) {
        stream.beatAt = now
        void events.beat(stream)
      }
      stream.stalledSince = stream.sink.unsentBytes < stalledBytes ? undefined : (stream.stalledSince ?? now)
      if (stream.stalledSince !== undefined && now - stream.stalledSince > stalledMs) stream.sink.destroy()
    }
  }

  return {
    async list(reader, { after, limit, waitMs, ...filters }, cancelled) {
      const events = eventsOf(reader.account)
      const evicted = new AbortController()
      const release = waitMs > 0 ? slots.take(holderOf(reader, () => evicted.abort())) : undefined
      try {
        return await events
          .list(createView(reader, filters), after, limit, waitMs, AbortSignal.any([cancelled, evicted.signal]))
          .catch(asProblem)
      } finally {
        release?.()
      }
    },

    async stream(reader, { after, ...filters }, makeSink) {
      const events = eventsOf(reader.account)
      let sink: Sink | undefined
      const release = slots.take(holderOf(reader, () => sink?.end()))
      try {
        const begin = await events.begin(after).catch(asProblem)
        sink = makeSink()
        const stream = events.stream(begin, createView(reader, filters), sink)
        const endsAt = Math.min(
          reader.token?.expiresAt ?? Number.POSITIVE_INFINITY,
          reader.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(reader.expires),
        )
        const one = { reader, stream, events, endsAt }
        open.add(one)
        return () => {
          open.delete(one)
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
      for (const { reader, stream } of open) {
        const isSame =
          before.accounts.get(reader.account) === next.accounts.get(reader.account) &&
          before.callers.get(reader.name) === next.callers.get(reader.name)
        if (!isSame) stream.sink.end()
      }
      for (const [account, events] of accounts) {
        if (next.accounts.has(account)) continue
        accounts.delete(account)
        events.close()
      }
    },

    async drain(ms) {
      for (const events of accounts.values()) events.answerAll()
      const streams = [...open]
      const eachMs = Math.min(20, ms / Math.max(1, streams.length))
      await Promise.all(
        streams.map(async ({ stream, events }, n) => {
          await new Promise(resolve => setTimeout(resolve, n * eachMs))
          events.end(stream)
        }),
      )
    },

    report: () => [...accounts].map(([account, events]) => ({ account, streams: events.streams.length, behind: events.behind })),
    close() {
      clearInterval(timer)
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
