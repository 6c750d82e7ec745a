import type { Logger } from 'pino'
import type { Fault } from '../afilnet/faults.ts'
import type { ConfigError } from '../config/config.ts'
import type { Changes } from '../config/watch.ts'
import type { ProblemCode } from '../problem/problem.ts'
import type { Metrics } from './metrics.ts'

/**
 * Everything that is worth counting about a gateway at work. Its log lines and metrics are both made here; what a process says of its own
 * beginning and end is not among it.
 *
 * A fact names accounts, callers and routes by their names; it never holds a URL, a chat, a number, a text, a key or Afilnet's user.
 */
export type Facts = {
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
  connectionRefused: { requestId: string; status: number; code: ProblemCode }
  /** Something of ours went wrong. */
  internalError: { requestId: string; traceId: string | undefined; err: unknown }
  /** A call to Afilnet is over; without a fault it gave a result. */
  upstreamAnswered: { account: string; operation: string; ms: number; fault?: Fault | undefined; upstreamCode?: string | undefined }
  /** Nobody waits for a call any more. */
  upstreamAbandoned: { account: string; operation: string }
  /** A call to Afilnet was not made. */
  callRefused: { account: string; reason: 'overloaded' | 'circuit-open' | 'credentials' }
  /** Calls of an operation are held back, or no longer. */
  breakerMoved: { account: string; operation: string; open: boolean }
  /** All calls of an account are held back since Afilnet does not take its credentials, or no longer. */
  credentialsMoved: { account: string; accepted: boolean }
  /** How a send ended; one that was unknown may end again. */
  sendSettled: { account: string; kind: 'message' | 'file'; state: 'accepted' | 'rejected' | 'not_sent' | 'unknown' }
  /** A key was used again, and told how its send had ended. */
  sendReplayed: { account: string }
  /** Sends of processes that have died became unknown. */
  sendsInterrupted: { count: number }
  storeAnswered: { verb: string; ms: number }
  storeMoved: { ok: boolean; fault: string | undefined }
  reloaded: Changes
  reloadRefused: Pick<ConfigError, 'mistakes'>
}

/** Takes note of a fact. */
export type Observe = <F extends keyof Facts>(fact: F, details: Facts[F]) => void

/** For whoever has nobody to tell. */
export const unobserved: Observe = () => {}

type Lines = { [F in keyof Facts]?: (log: Pick<Logger, 'info' | 'warn' | 'error'>, details: Facts[F]) => void }

const lines: Lines = {
  // Member by member: to copy the rest of an object was a twentieth of all that a read allocates.
  requestEnded(log, { requestId, traceId, method, route, status, code, caller, ms, upstreamMs, upstreamCode }) {
    const aborted = status === undefined || undefined
    log.info({ requestId, traceId, method, route, status, aborted, code, caller, ms: Math.round(ms), upstreamMs, upstreamCode }, 'request')
  },
  connectionRefused: (log, details) => log.info(details, 'request refused'),
  internalError: (log, details) => log.error(details, 'internal error'),
  breakerMoved(log, { open, ...whose }) {
    if (open) log.warn(whose, 'calls of this operation fail too often: they are held back')
    else log.info(whose, 'calls of this operation are answered again: they go on')
  },
  credentialsMoved(log, { account, accepted }) {
    if (accepted) log.info({ account }, 'the credentials of this account are taken again')
    else log.error({ account }, 'the credentials of this account are rejected: its calls are held back')
  },
  sendsInterrupted: (log, details) => log.warn(details, 'sends of processes that have died are unknown now'),
  storeMoved(log, { ok, fault }) {
    if (ok) log.info('the ledger of sends can be written again')
    else log.error({ fault }, 'the ledger of sends cannot be written: sends get 503, reads go on')
  },
  reloaded: (log, changes) => log.info(changes, 'took over accounts and callers'),
  reloadRefused: (log, details) => log.error(details, 'the new configuration is not valid; the old one stays'),
}

/** Makes log lines and metrics of facts. */
export function createObserver(log: Parameters<NonNullable<Lines['requestEnded']>>[0], { counts }: Pick<Metrics, 'counts'>): Observe {
  return (fact, details) => {
    lines[fact]?.(log, details)
    counts[fact]?.(details)
  }
}
