import type { Deliveries } from './deliveries.ts'
import type { Sender } from './store.ts'

/**
 * Names that one process at a time holds: the poller of an account, the deliverer of a webhook, the worker of a queue.
 *
 * A lease is held by its fence. The fence of a name rises with each new holder, so that what a frozen holder still writes can be refused. It is
 * a time, so that a store in the place of another one does not give the fences of that one again.
 */
export type Leases = {
  /**
   * Takes a name that is free or expired, or that this holder has already; gives the fence, or nothing while another one holds the name.
   *
   * In a SQLite file a name is free as soon as its process, on the same machine, is gone.
   */
  acquire(name: string, holder: string, leaseMs: number): Promise<number | undefined>
  /** Holds the name for another `leaseMs`; `false` once another one has taken it. What has expired and is still free is held again. */
  renew(name: string, fence: number, leaseMs: number): Promise<boolean>
  /** Frees the name for the next one; does nothing for an old fence. */
  release(name: string, fence: number): Promise<void>
}

/** The types that a log holds. */
export type EventType = (typeof eventTypes)[number]
export const eventTypes = ['message.created', 'message.updated', 'send.updated', 'gap'] as const

/** An event as the log takes it: ids only, never the text of a message. */
export type NewEvent = {
  type: EventType
  /** When the gateway learnt of it: when Afilnet's answer had arrived. */
  at: number
  /** Null in a `gap` that concerns all channels. */
  platform: string | null
  platformId: string | null
  /** Null in a `gap` that concerns a channel. */
  destination: string | null
  /** The stable id of the message, by which it is found again in a list of the conversation. */
  messageId: string | null
  direction: 'in' | 'out' | null
  /** Of a `gap`. */
  reason?: string
  /** Of a `send.updated`: whose send it is, and its row (`SendRow` as JSON, without `fingerprint`, `user` and `owner`). */
  sender?: Sender
  send?: string
}

/** A gap: of all channels, unless it says of which channel or conversation. */
export function gapEvent(
  at: number,
  reason: string,
  of: Partial<Pick<NewEvent, 'platform' | 'platformId' | 'destination'>> = {},
): NewEvent {
  const { platform = null, platformId = null, destination = null } = of
  return { type: 'gap', at, platform, platformId, destination, messageId: null, direction: null, reason }
}

/** An event of the log. Positions rise, also over a restart or a restored copy; they are safe integers and not dense. */
export type LoggedEvent = NewEvent & { position: number }

/**
 * Which log it is and what it holds: events after `trimmed` up to `last`. Either is 0 in a log that has had no events.
 *
 * `identity` is random, of at most 12 URL-safe characters, and made with the log: another one means that the log was replaced.
 */
export type LogMark = { identity: string; trimmed: number; last: number }

/** What the poller knows of a conversation or a channel: opaque text without any text of a message. */
export type KnownState = {
  key: string
  /** By which `forget` finds it; null for a channel. */
  destination: string | null
  /** Null deletes it. */
  state: string | null
}

/** One transaction: new states and the events that follow from them. */
export type Append = {
  /** The lease that allows it; absent for events that need none, such as `send.updated`. */
  lease?: { name: string; fence: number }
  states?: readonly KnownState[]
  events: readonly NewEvent[]
}

/**
 * The events of each account, in order, and what its poller knows of the conversations.
 *
 * Every verb is atomic, durable when it resolves, and rejects with `StoreUnavailableError`; with the cause `denied` where the server's user
 * lacks a right that only events need. A store over its size limit drops the oldest events before it refuses anything. `forget` of the
 * archive erases the events and states of a destination, too.
 */
export type EventLog = {
  /** Makes the log of an account if there is none. While it is there, ends of the account's sends are appended too; to be repeated at least every hour. */
  open(account: string): Promise<LogMark>
  accounts(): Promise<string[]>
  /** Appends to the log of an account; gives the positions, or nothing where the fence is old: then nothing was applied. */
  append(account: string, append: Append): Promise<number[] | undefined>
  /** Every known state of an account, a page at a time; `after` is the `next` of the page before. A page may be short or empty, and a state may come twice. */
  states(account: string, after?: string): Promise<{ states: (KnownState & { state: string })[]; next?: string }>
  /** The states of these keys, in their order. */
  find(account: string, keys: readonly string[]): Promise<(string | undefined)[]>
  /** The events after a position, oldest first, a thousand at most; without a mark the account has no log. */
  read(account: string, after: number, limit: number): Promise<{ mark?: LogMark; events: LoggedEvent[] }>
  /**
   * Deletes events older than `keepMs`, in slices, and whole logs that were not opened for a day more, or with `unused` these only; returns
   * how many events. Nothing until the clock has been steady for ten minutes.
   */
  trim(keepMs: number, what?: 'unused'): Promise<number>
  /**
   * Calls back after events were appended to the log of one of the accounts, by this process or another, within a second; also when some may
   * have been missed, and within seconds when another log has taken its place. Never throws: it does not call while the store is away, and
   * calls for every account when it is back.
   */
  watch(accounts: readonly string[], onNews: (account: string) => void): () => void
}

/** What a store has for events, beside the ledger. */
export type EventStore = { leases: Leases; log: EventLog; deliveries: Deliveries }
