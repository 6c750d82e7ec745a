import { withTimeout } from '../lib/timeout.ts'
/** Where a send stands; only `pending` and `unknown` may still change. */
export type SendState = 'pending' | 'accepted' | 'rejected' | 'not_sent' | 'unknown'

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
  /** HMAC of the request, under `secret()`. */
  fingerprint: string
  /** The process that runs it. */
  owner: string
  createdAt: number
}

/** One line of the ledger; times are epoch milliseconds, `answer` is opaque text to replay. */
export type SendRow = NewSend & { state: SendState; settledAt?: number; answer?: string }

/** `false` means that a send which still holds the key got there first, or that the caller's quota of the day is used up. */
export type Claim = { claimed: true } | { claimed: false; existing: SendRow } | { claimed: false; existing?: undefined }

/** How a send ended. */
export type Outcome = { state: Exclude<SendState, 'pending'>; settledAt: number; answer: string }

/** `false` leaves the row as it stands; no row at all means that the store does not know the id. */
export type Settlement = { settled: boolean; row?: SendRow }

/** Members are joined by "and"; `before` is the id of the last row of the page before. */
export type SendFilter = Partial<Pick<SendRow, 'state' | 'platform' | 'platformId' | 'destination' | 'reference' | 'idempotencyKey'>> & {
  limit: number
  before?: string
}

/** What an inspection found: no problems means intact; `commits` counts from when this process opened the store. */
export type StoreCheck = { problems: string[]; bytes: number; commits: number }

/** How long things last, and whose clock says so: the same for every process on one store. */
export type StorePolicy = {
  /** Counted from `settledAt`, so that an answer is never kept for less; a pending send does not expire. */
  keepMs: number
  keepUnknownMs: number
  leaseMs: number
  now?: () => number
}

/** Told when the store is lost and when a write succeeds again, not on every failure; `limit` stops claims only. */
export type StoreListener = (ok: boolean, fault?: StoreFault) => void

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
   * count, and deleted ones still do.
   */
  claim(row: NewSend, perDay?: number): Promise<Claim>
  /** Ends a pending send, or gives an `unknown` one its late `accepted` or `rejected`. */
  settle(id: string, outcome: Outcome): Promise<Settlement>
  find(caller: string, id: string): Promise<SendRow | undefined>
  /** The caller's own rows, newest first. */
  list(caller: string, filter: SendFilter): Promise<SendRow[]>
  /** Keeps the owner's pending sends from expiring for another `leaseMs`. */
  heartbeat(owner: string): Promise<void>
  /** Ends a lease at once: what its owner left pending becomes `unknown`, without an answer; returns how many. */
  release(owner: string): Promise<number>
  /** Turns pending sends of owners without a live lease into `unknown`, without an answer; returns how many. */
  expireLeases(): Promise<number>
  /** Deletes expired rows, in slices that let other writers in between; returns how many. Until then they only look gone. */
  deleteExpired(): Promise<number>
  /** The 32 bytes that key every fingerprint, made once per store. */
  secret(): Promise<Uint8Array>
  /** Reads the whole store: for the operator's command, not for a health probe. */
  check(): Promise<StoreCheck>
  /** Only of a store that processes of several machines share. */
  count?: SharedCounter
  close(): Promise<void>
}

/** What an operator does to a whole ledger, whoever its callers are. */
export type Archive = {
  /** All rows of all callers in order of id, a thousand at most, expired ones that are still there included; `after` is the id of the last row of the page before. */
  dump(after?: string): Promise<SendRow[]>
  /** Takes rows over as they are, with what they count for their day; one whose id is known, or whose key is held, is left out. Returns how many were taken. */
  load(rows: readonly SendRow[]): Promise<number>
  /** Makes another store's secret this one's; `false` if this one has another already. */
  adopt(secret: Uint8Array): Promise<boolean>
  /** Deletes every row of a destination that is not pending, whoever sent it; `pending` ones stay and are counted. */
  forget(destination: string): Promise<{ gone: number; pending: number }>
}

/**
 * Counts one more of something in a window of time that begins with the first of them, over all processes on the store.
 *
 * Rejects soon rather than late, so that whoever asks can count alone instead.
 */
export type SharedCounter = (name: string, key: string, windowMs: number) => Promise<{ count: number; leftMs: number }>

/** Why the store is not there; `limit` is its own size limit, `full` the disk's or the server's, `denied` a password or right that it misses. */
export type StoreFault = 'limit' | 'full' | 'readonly' | 'corrupt' | 'busy' | 'io' | 'version' | 'worker' | 'away' | 'denied' | 'closed'

/** The store cannot do it now; `cause` is a short code and never a value. */
export class StoreUnavailableError extends Error {
  override readonly name: string = 'StoreUnavailableError'
  declare readonly cause: StoreFault
  constructor(cause: StoreFault) {
    super(`The store is unavailable (${cause})`, { cause })
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
export const within = <T>(ms: number, verb: Promise<T>): Promise<T> => withTimeout(ms, verb, () => new StoreUnavailableError('busy'))
