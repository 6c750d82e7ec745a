import type { Fault, ForeignField, TokenReport, Unreadable } from './afilnet/faults.ts'
import type { ProblemCode } from './problem/catalogue.ts'

/**
 * The events of a running gateway, from which both its log lines and its metrics are made. The start and the end of the process are not
 * among them.
 *
 * An event contains names of accounts, callers and routes; never a URL, a chat, a number, a text, a key or Afilnet's user.
 */
export type Events = {
  /** A request has ended: it was answered, or its caller hung up. */
  requestEnded: {
    requestId: string
    traceId: string | undefined
    method: string
    /** The route's pattern. */
    route: string | undefined
    /** Absent if the caller hung up before it had the whole answer. */
    status: number | undefined
    code: ProblemCode | undefined
    caller: string | undefined
    /** Who used the token, in the words of the caller that issued it. */
    actor: string | undefined
    ms: number
    upstreamMs: number | undefined
    upstreamCode: string | undefined
  }
  /** A connection was refused because it sent no readable request. */
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
  /** An unexpected error in the gateway's own code. */
  internalError: { requestId: string; traceId: string | undefined; err: unknown }
  /** A call to Afilnet has ended; without a fault it gave a result. */
  upstreamAnswered: { account: string; operation: string; ms: number; fault?: Fault | undefined; upstreamCode?: string | undefined }
  /** A connection to Afilnet could not be opened, or broke before the answer. `networkError` is a code of Node.js or undici. */
  connectionFailed: { account: string; operation: string; code: string; networkError: string | undefined }
  /**
   * Afilnet answered with a code that an operator must look into. The log line of a request has the code too, but a poll or an attempt of a
   * queued send has none.
   */
  codeUnexpected: { account: string; operation: string; code: string; upstreamCode: string | undefined }
  /** An answer of Afilnet is not a result that the gateway can read. */
  answerUnreadable: { account: string; operation: string } & Unreadable
  /** A row of an answer belongs to another chat than the one asked for. */
  foreignRow: { account: string; operation: string; field: ForeignField }
  /** Items of a list were left out because they are not rows. */
  rowsSkipped: { account: string; operation: string; count: number }
  /** A call was cancelled because no caller waits for it any more. */
  upstreamAbandoned: { account: string; operation: string }
  tokenRequested: { account: string } & TokenReport
  /** A call to Afilnet was not made. */
  callRefused: { account: string; reason: 'overloaded' | 'circuit-open' | 'credentials' }
  /** The circuit breaker of an operation opened or closed. */
  circuitStateChanged: { account: string; operation: string; open: boolean }
  /** Afilnet rejected the credentials of an account, or accepts them again. Its calls are paused in between. */
  credentialsStateChanged: { account: string; accepted: boolean }
  /** How a send ended; one that was unknown may end again. */
  sendSettled: {
    account: string
    kind: 'message' | 'file'
    state: 'accepted' | 'rejected' | 'not_sent' | 'unknown' | 'expired' | 'canceled'
  }
  /** A key was used again and got the stored result. */
  sendReplayed: { account: string }
  /** Sends of processes that died became unknown. */
  sendsInterrupted: { count: number }
  /** A stream that keeps up was given an event; `lagMs` since Afilnet's answer that showed it. */
  eventDelivered: { account: string; lagMs: number }
  /** A form with files has ended; `bytes` is what was stored of it. */
  uploadEnded: { result: 'stored' | 'refused' | 'too-large' | 'full' | 'failed' | 'aborted'; bytes: number }
  /** Files were deleted: they have expired, the ledger does not know their bytes (`orphan`), or their bytes are gone (`lost`). */
  mediaSwept: { reason: 'expired' | 'orphan' | 'lost'; count: number }
  mediaSweepFailed: { fault: string }
  /** The media store did not take, give or delete the bytes of a file. */
  mediaStoreFailed: { verb: 'open' | 'write' | 'read' | 'delete'; fault: string }
  /** At the start: a folder that uploads need cannot be written to. */
  mediaFolderNotWritable: { setting: 'MEDIA_STORE' | 'TMPDIR'; fault: string }
  /** Queued sends ended because the key of their bodies is lost. */
  queueKeysLost: { count: number }
  storeAnswered: { verb: string; ms: number }
  /** So many bytes of the ledger count towards `STORE_MAX_MB`. */
  ledgerMeasured: { bytes: number }
  /** The ledger is another one than this process worked with, or that has been accepted. */
  ledgerChanged: { changed: boolean }
  storeStateChanged: { ok: boolean; fault: string | undefined }
  /** This process begins or ends to poll the channels of an account. */
  pollingStateChanged: { account: string; polling: boolean }
  /** Polling has failed because of an error in the gateway, and begins anew. */
  pollingFailed: { account: string; err: unknown }
  /** The store denies the commands that polling needs; all else of it may work. */
  pollingDenied: { account: string }
  /** A channel was asked for its conversations. */
  pollEnded: { account: string; ms: number; ok: boolean }
  /** A watched channel could not be read several times in a row, or can be read again. */
  channelStateChanged: { account: string; readable: boolean; code: string | undefined }
  /** The list of a watched channel or conversation exceeds the size limit. */
  listTooLarge: { account: string }
  eventsAppended: { account: string; type: string; count: number }
  /** This process delivers for a webhook, or waits until it may. */
  webhookStarted: { webhook: string }
  /** An attempt to deliver an event to a webhook has ended: `refused` is repeated, `failed` is not, `down` and `gone` stop the webhook. */
  deliveryEnded: { webhook: string; result: 'delivered' | 'refused' | 'failed' | 'down' | 'gone'; ms: number }
  /** A webhook pauses or is disabled because of what its endpoint answered, or delivers again. */
  webhookStateChanged: { webhook: string; state: 'ok' | 'paused' | 'disabled'; reason: string | undefined }
  configurationReloaded: Record<'accounts' | 'callers' | 'webhooks', { added: string[]; removed: string[]; changed: string[] }>
  configurationReloadFailed: { issues: readonly { path: string; message: string }[] }
}

/** Reports an event. */
export type Observe = <E extends keyof Events>(event: E, details: Events[E]) => void

/** For parts whose events are not of interest. */
export const unobserved: Observe = () => {}
