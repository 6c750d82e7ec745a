import type { Logger } from 'pino'
import type { Events, Observe } from '../events.ts'
import type { Metrics } from './metrics.ts'

type Lines = { [F in keyof Events]?: (log: Pick<Logger, 'info' | 'warn' | 'error'>, details: Events[F]) => void }

const lines: Lines = {
  // Member by member: to copy the rest of an object was a twentieth of all that a read allocates.
  requestEnded(log, { requestId, traceId, method, route, status, code, caller, actor, ms, upstreamMs, upstreamCode }) {
    const aborted = status === undefined || undefined
    log.info(
      { requestId, traceId, method, route, status, aborted, code, caller, actor, ms: Math.round(ms), upstreamMs, upstreamCode },
      'request',
    )
  },
  connectionRefused(log, { sampled, ...details }) {
    if (sampled) log.info(details, 'connection refused')
  },
  internalError: (log, details) => log.error(details, 'internal error'),
  circuitStateChanged(log, { open, ...whose }) {
    if (open) log.warn(whose, 'circuit breaker opened')
    else log.info(whose, 'circuit breaker closed')
  },
  credentialsStateChanged(log, { account, accepted }) {
    if (accepted) log.info({ account }, 'credentials accepted again')
    else log.error({ account }, 'credentials rejected, calls of this account are paused')
  },
  codeUnexpected: (log, details) => log.warn(details, 'Afilnet answered with a code that must be looked into'),
  connectionFailed: (log, details) => log.warn(details, 'connection to Afilnet failed'),
  answerUnreadable: (log, details) => log.warn(details, 'answer of Afilnet is not readable'),
  foreignRow: (log, details) => log.error(details, 'answer of Afilnet has a row of another chat, its connection is closed'),
  rowsSkipped: (log, details) => log.warn(details, 'items of a list of Afilnet skipped, they are not rows'),
  tokenRequested(log, { account, ms, lifetimeS, fault, ...reasons }) {
    if (fault) log.warn({ account, ms: Math.round(ms), code: fault.code, ...reasons }, 'no token for Afilnet, its call was not made')
    else log.info({ account, ms: Math.round(ms), lifetimeS }, 'token for Afilnet received')
  },
  mediaSwept(log, { reason, count }) {
    if (reason === 'expired') log.info({ count }, 'expired files deleted')
    else if (reason === 'orphan') log.warn({ count }, 'files deleted that the ledger does not know')
    else log.warn({ count }, 'rows of files deleted whose bytes are not in the media store')
  },
  mediaSweepFailed: (log, details) => log.warn(details, 'stored files cannot be swept, the gateway tries again in ten minutes'),
  mediaStoreFailed: (log, details) => log.warn(details, 'media store failed'),
  mediaFolderNotWritable: (log, details) => log.warn(details, 'upload folder is not writable, uploads get 503'),
  queueKeysLost: (log, details) =>
    log.error(details, 'QUEUE_KEY lacks the key of queued sends, which ended as not_sent; their callers must send them again'),
  sendsInterrupted: (log, details) => log.warn(details, 'interrupted sends marked as unknown'),
  storeStateChanged(log, { ok, fault }) {
    if (ok) log.info('ledger available again')
    else log.error({ fault }, 'ledger unavailable, sends get 503')
  },
  ledgerChanged(log, { changed }) {
    if (changed) log.error('ledger changed, sends with an idempotency key get 503 until npm run store -- accept or a restart')
    else log.warn('changed ledger accepted, sends with an idempotency key go on')
  },
  pollingStateChanged(log, { account, polling }) {
    log.info({ account }, polling ? 'polling for events started' : 'polling for events ended')
  },
  pollingFailed: (log, details) => log.error(details, 'polling for events failed, it begins anew'),
  pollingDenied: (log, details) => log.error(details, 'store denies the commands of events, the account is not polled'),
  channelStateChanged(log, { account, readable, code }) {
    if (readable) log.info({ account }, 'watched channel can be read again')
    else log.warn({ account, code }, 'watched channel cannot be read, its events wait')
  },
  listTooLarge: (log, details) => log.warn(details, 'list of a watched channel or conversation exceeds AFILNET_MAX_RESPONSE_BYTES'),
  eventsAppended(log, { account, type, count }) {
    if (type === 'gap') log.warn({ account, count }, 'messages may be missing in the events, consumers get a gap')
  },
  webhookStateChanged(log, { state, ...details }) {
    if (state === 'ok') log.info({ webhook: details.webhook }, 'webhook delivers again')
    else if (state === 'paused') log.warn(details, 'webhook paused, its endpoint is down')
    else log.error(details, 'webhook disabled, its endpoint answered 410; a reload or a restart tries it again')
  },
  deliveryEnded(log, { webhook, result }) {
    if (result === 'failed') log.warn({ webhook }, 'delivery failed, the endpoint refused the event five times')
  },
  configurationReloaded: (log, changes) => log.info(changes, 'configuration reloaded'),
  configurationReloadFailed: (log, details) => log.error(details, 'configuration reload failed, keeping the previous one'),
}

/** Turns events into log lines and metrics. */
export function createObserver(log: Parameters<NonNullable<Lines['requestEnded']>>[0], { counts }: Pick<Metrics, 'counts'>): Observe {
  return (event, details) => {
    lines[event]?.(log, details)
    counts[event]?.(details)
  }
}
