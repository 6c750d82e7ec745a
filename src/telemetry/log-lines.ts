import type { Logger } from 'pino'
import type { Events, Observe } from '../events.ts'
import type { Metrics } from './metrics.ts'

type Lines = { [F in keyof Events]?: (log: Pick<Logger, 'info' | 'warn' | 'error'>, details: Events[F]) => void }

const lines: Lines = {
  // Member by member: to copy the rest of an object was a twentieth of all that a read allocates.
  requestEnded(log, { requestId, traceId, method, route, status, code, caller, ms, upstreamMs, upstreamCode }) {
    const aborted = status === undefined || undefined
    log.info({ requestId, traceId, method, route, status, aborted, code, caller, ms: Math.round(ms), upstreamMs, upstreamCode }, 'request')
  },
  connectionRefused: (log, details) => log.info(details, 'request refused'),
  internalError: (log, details) => log.error(details, 'internal error'),
  circuitStateChanged(log, { open, ...whose }) {
    if (open) log.warn(whose, 'calls of this operation fail too often: they are held back')
    else log.info(whose, 'calls of this operation are answered again: they go on')
  },
  credentialsStateChanged(log, { account, accepted }) {
    if (accepted) log.info({ account }, 'the credentials of this account are taken again')
    else log.error({ account }, 'the credentials of this account are rejected: its calls are held back')
  },
  sendsInterrupted: (log, details) => log.warn(details, 'sends of processes that have died are unknown now'),
  storeStateChanged(log, { ok, fault }) {
    if (ok) log.info('the ledger of sends can be written again')
    else log.error({ fault }, 'the ledger of sends cannot be written: sends get 503, reads go on')
  },
  configurationReloaded: (log, changes) => log.info(changes, 'took over accounts and callers'),
  configurationReloadFailed: (log, details) => log.error(details, 'the new configuration is not valid; the old one stays'),
}

/** Makes log lines and metrics of facts. */
export function createObserver(log: Parameters<NonNullable<Lines['requestEnded']>>[0], { counts }: Pick<Metrics, 'counts'>): Observe {
  return (fact, details) => {
    lines[fact]?.(log, details)
    counts[fact]?.(details)
  }
}
