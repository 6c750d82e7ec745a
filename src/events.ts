import type { Fault, ForeignField, Unreadable } from './afilnet/faults.ts'
import type { ProblemCode } from './problem/catalogue.ts'

/**
 * Everything that is worth counting about a gateway at work. Its log lines and metrics are both made here; what a process says of its own
 * beginning and end is not among it.
 *
 * A fact names accounts, callers and routes by their names; it never holds a URL, a chat, a number, a text, a key or Afilnet's user.
 */
export type Events = {
  /** A request is over: answered, or given up by its caller. */
  requestEnded: {
    requestId: string
    traceId: string | undefined
    method: string
    /** The route's pattern. */
    route: string | undefined
    /** None if the caller has gone before it had the whole answer. */
    status: number | undefined
    code: ProblemCode | undefined
    caller: string | undefined
    ms: number
    upstreamMs: number | undefined
    upstreamCode: string | undefined
  }
  /** What could not even be read as a request was refused. */
  connectionRefused: {
    requestId: string
    status: number
    code: ProblemCode
    /** Whether to log it. */
    sampled: boolean
    /** How many before it were not logged. */
    skipped?: number
  }
  /** A connection was closed or refused so that others find room: beyond the share of its address, or idle while few are free. */
  connectionShed: { reason: 'share' | 'idle' }
  /** Something of ours went wrong. */
  internalError: { requestId: string; traceId: string | undefined; err: unknown }
  /** A call to Afilnet is over; without a fault it gave a result. */
  upstreamAnswered: { account: string; operation: string; ms: number; fault?: Fault | undefined; upstreamCode?: string | undefined }
  /** An answer of Afilnet is not a result that the gateway can read. */
  answerUnreadable: { account: string; operation: string } & Unreadable
  /** A row of an answer belongs to another chat than the one asked for. */
  foreignRow: { account: string; operation: string; field: ForeignField }
  /** Items of a list were left out because they are not rows. */
  rowsSkipped: { account: string; operation: string; count: number }
  /** Nobody waits for a call any more. */
  upstreamAbandoned: { account: string; operation: string }
  /** A call to Afilnet was not made. */
  callRefused: { account: string; reason: 'overloaded' | 'circuit-open' | 'credentials' }
  /** Calls of an operation are held back, or no longer. */
  circuitStateChanged: { account: string; operation: string; open: boolean }
  /** All calls of an account are held back since Afilnet does not take its credentials, or no longer. */
  credentialsStateChanged: { account: string; accepted: boolean }
  /** How a send ended; one that was unknown may end again. */
  sendSettled: { account: string; kind: 'message' | 'file'; state: 'accepted' | 'rejected' | 'not_sent' | 'unknown' }
  /** A key was used again, and told how its send had ended. */
  sendReplayed: { account: string }
  /** Sends of processes that have died became unknown. */
  sendsInterrupted: { count: number }
  storeAnswered: { verb: string; ms: number }
  storeStateChanged: { ok: boolean; fault: string | undefined }
  configurationReloaded: Record<'accounts' | 'callers', { added: string[]; removed: string[]; changed: string[] }>
  configurationReloadFailed: { issues: readonly { path: string; message: string }[] }
}

/** Takes note of a fact. */
export type Observe = <F extends keyof Events>(fact: F, details: Events[F]) => void

/** For whoever has nobody to tell. */
export const unobserved: Observe = () => {}
