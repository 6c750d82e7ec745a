// Longer than 200 lines, because it is one port: what a send is, and every verb that both adapters have.
import { withTimeout } from '../lib/timeout.ts'

/** Where a send stands; only `queued`, `pending` and `unknown` may still change. */
export type SendState = (typeof sendStates)[number]
export const sendStates = ['queued', 'pending', 'accepted', 'rejected', 'not_sent', 'unknown', 'expired', 'canceled'] as const

/** What is known of a send before its first byte leaves; never the text of the message. */
export type NewSend = {
  /** A UUIDv7: lists are ordered and paged by it. */
  id: string
  caller: string
  account: string
  /** Afilnet's user of the account. */
  user: string
  kind: 'message' | 'file'
  platform: string
  platformId: string
  destination: string
  reference?: string
  idempotencyKey?: string
  /** Who used the token that it was made with; absent if it was made with a key. */
  actor?: string
  /** HMAC of the request, under `secret()`. */
  fingerprint: string
  /** HMAC of the text, by which the message is found in its conversation; absent where there is none. */
  textDigest?: string
  /** The process that runs it. */
  owner: string
  createdAt: number
  /** Of a send that was queued: when it is due, and when it is too late. */
  dueAt?: number
  expiresAt?: number
}

/** Whose sends they are: rows and keys belong to a caller on an account, so that the next owner of a name does not see them. */
export type Sender = Pick<NewSend, 'caller' | 'account'>

/** Names one row; any row will do. */
export type SendRef = Sender & Pick<NewSend, 'id'> & { kind?: NewSend['kind'] | undefined }

/** Who said how a send ended: Afilnet in time, Afilnet after the deadline, the message in its conversation, or a person. */
export type SettledBy = (typeof settlers)[number]
export const settlers = ['answer', 'late-answer', 'read-back', 'caller'] as const

/** Where the message of a send was found, and Afilnet's own word for what became of it. */
export type Finding = { messageId: string; deliveryStatus?: string; deliveryAt: number }

/** One line of the ledger; times are epoch milliseconds, `answer` is opaque text to replay. */
export type SendRow = NewSend &
  Partial<Finding> & {
    state: SendState
    settledAt?: number
    answer?: string
    settledBy?: SettledBy
    /** What the person wrote who settled it. */
    note?: string
    /** Of a send that was queued: when its last attempt began. */
    startedAt?: number
  }

/** A send from the queue, with its encrypted body; `attempts` counts this one. */
export type DueSend = { row: SendRow; sealed: string; attempts: number }

/** What waits: `held` is what `holdQueue` stopped, `dueAt` the earliest of the others. */
export type Backlog = { waiting: number; held: number; dueAt?: number }

/** A conversation at Afilnet, with all its senders. */
export type Conversation = Pick<NewSend, 'user' | 'platform' | 'platformId' | 'destination'>

/** Names a conversation. */
export const chatKeyOf = ({ user, platform, platformId, destination }: Conversation) =>
  JSON.stringify([user, platform, platformId, destination])

/** `false` means that an `existing` send which still holds the key got there first, or that the caller's quota of the day is used up. */
type Claim = { claimed: boolean; existing?: SendRow }

/** How a send ended. */
export type Outcome = {
  state: Exclude<SendState, 'pending' | 'queued'>
  settledAt: number
  answer: string
  settledBy?: SettledBy
  note?: string
  /** The POST was answered before: the event log gets a `send.updated`, as it does for what it has as `unknown`. */
  late?: true
}

/** An `unknown` message is looked for in its conversation so long after it became that. */
export const lookAfterMs = [2_000, 10_000, 60_000, 600_000] as const

/** `conversation` gives no more rows of a caller than this. */
export const maxConversationRows = 1_000

/**
 * `settled: false` leaves the row as it stands, and gives it; no row means that the store does not know it. `settled: true` gives the row if the
 * message of the send was found before its end.
 */
export type Settlement = { settled: boolean; row?: SendRow }

/** Members are joined by "and"; `before` is the id of the last row of the page before. */
export type SendFilter = Partial<
  Pick<SendRow, 'state' | 'platform' | 'platformId' | 'destination' | 'reference' | 'idempotencyKey' | 'actor'>
> & {
  limit: number
  before?: string
}

/** What an inspection found: no problems means intact. */
type StoreCheck = { problems: string[]; bytes: number }

/** How long things last, and whose clock says so: the same for every process on one store. */
export type StorePolicy = {
  /** Counted from `settledAt`, so that an answer is never kept for less; a pending send does not expire. */
  keepMs: number
  keepUnknownMs: number
  leaseMs: number
  now?: () => number
  /** A clock that never jumps, in milliseconds: the wall clock is believed only where both agree. */
  monotonic?: () => number
}

/** Called when the store is lost, again for each connection that is, and when a write succeeds again, not on every failure; `limit` stops claims only. */
export type StoreListener = (ok: boolean, fault?: StoreFault) => void

/** The warning of a start with a ledger that has never been used. */
export const beginsEmpty =
  'the ledger is new and empty: if there was one before, it has forgotten every key, and a send whose request is repeated is sent again'

/** Called when the ledger turns out to be another one than this process worked with, and when that has been accepted. */
export type LedgerListener = (changed: boolean) => void

/** Says that no caller waits for a read any more; `lib/cancellation.ts` has one. */
export type ReadCancellation = { readonly reason: Error | undefined }

/**
 * A durable ledger of sends; each verb is one atomic round trip, durable when it resolves.
 *
 * Every verb may reject with `StoreUnavailableError`, and a later call may succeed. What was refused can rarely have reached the store all
 * the same, when the fault struck between commit and answer. So settle a send whose claim was refused as `not_sent` once the store is back:
 * such a row would hold its key as `pending` for as long as its owner lives. To settle again is safe: the row says what got through.
 */
export type Store = {
  /**
   * Takes the row as `pending` if its key is free; neither `not_sent` nor expired rows hold their key. Also a heartbeat of its owner.
   *
   * With `perDay`, no more than that many of the caller's sends of the row's day (UTC) are taken; `rejected` and `not_sent` ones do not
   * count, and deleted ones still do. Of attempts, these included, ten times as many and a hundred more are taken.
   *
   * A ledger over its size limit first deletes `not_sent` and `rejected` rows, of the caller with the most. With a key, rejects with
   * `LedgerChangedError` while the ledger is not the one that this process worked with.
   *
   * With a `sealed` body the row is `queued` and has `dueAt` and `expiresAt`.
   */
  claim(row: NewSend, perDay?: number, sealed?: string): Promise<Claim>
  /**
   * Ends a pending send, or gives an `unknown` one its late `accepted` or `rejected`. What a caller or the conversation says ends `unknown` ones
   * only, and a caller's `not_sent` frees the key.
   */
  settle(send: SendRef, outcome: Outcome): Promise<Settlement>
  /**
   * Makes queued sends that are due `pending`, as the owner's, and those that are too late `expired`. Of a conversation only the first one, by
   * due time and then by id, and none while another one of it is pending. While the ledger counts as changed, nothing is due: an older copy
   * queues what has gone since. Also a heartbeat of its owner, if it gives any.
   *
   * The process has so many `places`, of which accounts hold what is `running`. The account that holds the fewest gets the next one, as long as it
   * holds fewer than are free; of those with equally many the one that has waited longest. `nextAt`: when there may be something to do again, if
   * no place becomes free.
   */
  takeDue(
    owner: string,
    places: number,
    running?: ReadonlyMap<string, number>,
  ): Promise<{ due: DueSend[]; expired: Pick<SendRow, 'account' | 'kind' | 'id'>[]; nextAt?: number }>
  /**
   * The pending sends of a process; `attempts` is 0 if `takeDue` did not give it. If an answer was lost, the process does not know all of them.
   */
  pendingOf(owner: string): Promise<Omit<DueSend, 'sealed'>[]>
  /** Makes a send from the queue `queued` again until `nextAt`, after this attempt; `false` if it is not the last one, or has ended. */
  requeue(send: SendRef, nextAt: number, attempts: number): Promise<boolean>
  /** Ends a send that is still `queued`, and frees its key with `not_sent`; nothing else changes. */
  unqueue(send: SendRef, outcome: Outcome): Promise<Settlement>
  /** Queued sends, a thousand at most, whose bodies none of these keys has encrypted: what stands before the first dot of `sealed` names its key. */
  sealedByOthers(keys: readonly string[]): Promise<SendRow[]>
  backlog(): Promise<Backlog>
  /** Notes where the message of a send was found, and how it stands there; `false` if that is known or not said, or another row is its message. */
  note(send: SendRef, finding: Finding): Promise<boolean>
  /** Unknown messages of these accounts that are due to be looked for; each is due again at the next of `lookAfterMs`. */
  takeLookups(accounts: readonly string[], limit: number): Promise<SendRow[]>
  /** The sends of all callers to a conversation whose ids are from `since` on, newest first; a server looks at each caller's latest ten thousand to the destination. */
  conversation(of: Conversation, since: number): Promise<SendRow[]>
  /** The newest thousand sends of each caller of an account whose ids are from `since` on and that Afilnet may have. */
  recent(account: string, since: number): Promise<SendRow[]>
  find(sender: Sender, id: string, cancellation?: ReadCancellation): Promise<SendRow | undefined>
  /**
   * The sender's own rows, newest first. Callers take turns, and a list that is cancelled stops.
   *
   * A destination of digits also finds WhatsApp rows that an earlier release stored as the caller wrote the number (`+34 600 …`).
   */
  list(sender: Sender, filter: SendFilter, cancellation?: ReadCancellation): Promise<SendRow[]>
  /** Keeps the owner's pending sends from expiring for another `leaseMs`; returns the bytes of the ledger that count towards its size limit. */
  heartbeat(owner: string): Promise<number>
  /** Ends a lease at once: what its owner left pending becomes `unknown`, without an answer; returns how many. */
  release(owner: string): Promise<number>
  /** Turns pending sends of owners without a live lease into `unknown`, without an answer; returns how many. None while the clock jumps. */
  expireLeases(): Promise<number>
  /**
   * Deletes expired rows, in slices that let other writers in between and never all of a large ledger at once; returns how many. Until then
   * they only look gone. Deletes nothing until the clock has been steady for ten minutes.
   */
  deleteExpired(): Promise<number>
  /** The 32 bytes that key every fingerprint, made once per store. */
  secret(): Promise<Uint8Array>
  /**
   * Accepts the ledger as it is now: processes that refuse claims with a key and send nothing from the queue, because it has changed, go on after
   * their next heartbeat.
   */
  accept(): Promise<void>
  /** Reads the whole store: for the operator's command, not for a health probe. */
  check(): Promise<StoreCheck>
  /** Only of a store that processes of several machines share. */
  count?: SharedCounter
  close(): Promise<void>
}

/** What an operator does to a whole ledger, for all callers. */
export type Archive = {
  /** All rows of all callers in order of id, a thousand at most, expired ones that are still there included; `after` is the id of the last row of the page before. */
  dump(after?: string): Promise<SendRow[]>
  /** Takes rows over as they are, with what they count for their day; one whose id is known, or whose key is held, is left out. Returns how many were taken. */
  load(rows: readonly SendRow[]): Promise<number>
  /** Makes another store's secret this one's; `false` if this one has another already. */
  adopt(secret: Uint8Array): Promise<boolean>
  /** Deletes every row of a destination that is not pending, of every caller; `pending` ones stay and are counted. */
  forget(destination: string): Promise<{ gone: number; pending: number }>
  /** Keeps what is queued now from being sent, until `releaseQueue`; it expires all the same. Both return how many. */
  holdQueue(): Promise<number>
  releaseQueue(): Promise<number>
}

/**
 * Counts one more of something in a window of time that begins with the first of them, over all processes on the store.
 *
 * Rejects soon rather than late, so that the process can count alone instead.
 */
export type SharedCounter = (name: string, key: string, windowMs: number) => Promise<{ count: number; leftMs: number }>

/** Why the store is not there; `limit` is its own size limit, `changed` another ledger or an old copy of it, `full` the disk's or the server's, `denied` a password, right or database that it misses. */
export type StoreFault =
  | 'limit'
  | 'changed'
  | 'full'
  | 'readonly'
  | 'corrupt'
  | 'busy'
  | 'io'
  | 'version'
  | 'worker'
  | 'away'
  | 'denied'
  | 'closed'

/** The store cannot do it now; `cause` is a short code and never a value. */
export class StoreUnavailableError extends Error {
  override readonly name: string = 'StoreUnavailableError'
  declare readonly cause: StoreFault
  /** Whether the verb reached the store, and may have its effect all the same. */
  readonly mayHaveEffect: boolean
  constructor(cause: StoreFault, mayHaveEffect = false) {
    super(`The store is unavailable (${cause})`, { cause })
    this.mayHaveEffect = mayHaveEffect
  }
}

/** The ledger is another one, or an older copy, than this process worked with: it may have forgotten keys. Nothing was applied. */
export class LedgerChangedError extends StoreUnavailableError {
  override readonly name: string = 'LedgerChangedError'
  constructor() {
    super('changed')
    this.message = 'The ledger is not the one that this process worked with'
  }
}

/** The store belongs to a newer release or to another program: no repeating helps, and nothing in it was touched. */
export class StoreVersionError extends StoreUnavailableError {
  override readonly name: string = 'StoreVersionError'
  constructor(message: string) {
    super('version')
    this.message = message
  }
}

/** The URL names no store that we know; its text stays out of the message, since it may hold a password. */
export class StoreUrlError extends Error {
  override readonly name = 'StoreUrlError'
}

/** Waits for a verb of the store for at most `ms`, then rejects with a `StoreUnavailableError`; the verb may still have its effect. */
export const within = <T>(ms: number, verb: Promise<T>): Promise<T> => withTimeout(ms, verb, () => new StoreUnavailableError('busy', true))
