/** One way in which a call can fail, and the answer we give for it. */
export type Fault = {
  code: string
  /** Who must act. The caller exactly where the catalogue answers 4xx. */
  side: 'caller' | 'operator' | 'upstream' | 'gateway'
  /** What it proves. `unknown` holds for operations that are not safe; a safe one never applies anything. */
  outcome: 'not_applied' | 'unknown'
  /** The property of the body that is refused, as a JSON pointer. */
  pointer?: string
}

/** A setting of the operator, or Afilnet's own interface, is not what the gateway expects. */
export const mismatch = { code: 'upstream-contract-mismatch', side: 'operator', outcome: 'not_applied' } as const

/**
 * Every error code in Afilnet's manual.
 *
 * Afilnet checks our credentials, not the caller's, so INCORRECT_USER_PASSWORD is
 * the operator's to fix and must not reach the caller as 401.
 */
export const faults = {
  CHANNEL_NOT_FOUND: { code: 'channel-not-found', side: 'caller', outcome: 'not_applied' },
  CHAT_NOT_FOUND: { code: 'chat-not-found', side: 'caller', outcome: 'not_applied' },
  INCORRECT_FILETYPE: { code: 'file-type-rejected', side: 'caller', outcome: 'not_applied', pointer: '/type' },
  INCORRECT_FILEURL: { code: 'file-url-rejected', side: 'caller', outcome: 'not_applied', pointer: '/fileUrl' },
  INCORRECT_THUMBURL: { code: 'thumb-url-rejected', side: 'caller', outcome: 'not_applied', pointer: '/thumbUrl' },
  INCORRECT_USER_PASSWORD: { code: 'upstream-credentials-rejected', side: 'operator', outcome: 'not_applied' },
  MISSING_USER: mismatch,
  MISSING_PASSWORD: mismatch,
  MISSING_CLASS: mismatch,
  MISSING_METHOD: mismatch,
  MISSING_COMPULSORY_PARAM: mismatch,
  INCORRECT_CLASS: mismatch,
  INCORRECT_METHOD: mismatch,
  NO_CREDITS: { code: 'upstream-out-of-credit', side: 'operator', outcome: 'not_applied' },
  NO_ROUTE_AVAILABLE: { code: 'destination-unroutable', side: 'caller', outcome: 'not_applied' },
} as const satisfies Record<string, Fault>

/** Failures without a code of Afilnet's: what went wrong on the way, or in an answer that is none. */
export const failures = {
  unknownError: { code: 'upstream-unknown-error', side: 'upstream', outcome: 'unknown' },
  rateLimited: { code: 'upstream-rate-limited', side: 'upstream', outcome: 'not_applied' },
  redirect: { code: 'upstream-redirect', side: 'upstream', outcome: 'unknown' },
  clientError: { code: 'upstream-error', side: 'upstream', outcome: 'unknown' },
  serverError: { code: 'upstream-error', side: 'upstream', outcome: 'unknown' },
  invalidResponse: { code: 'upstream-invalid-response', side: 'upstream', outcome: 'unknown' },
  responseTooLarge: { code: 'upstream-response-too-large', side: 'upstream', outcome: 'unknown' },
  unreachable: { code: 'upstream-unreachable', side: 'upstream', outcome: 'not_applied' },
  timeout: { code: 'upstream-timeout', side: 'upstream', outcome: 'unknown' },
  connectionLost: { code: 'upstream-connection-lost', side: 'upstream', outcome: 'unknown' },
  overloaded: { code: 'overloaded', side: 'gateway', outcome: 'not_applied' },
  circuitOpen: { code: 'upstream-circuit-open', side: 'gateway', outcome: 'not_applied' },
  requestTooLong: { code: 'payload-too-large', side: 'caller', outcome: 'not_applied' },
  notWritable: { code: 'invalid-request', side: 'caller', outcome: 'not_applied' },
} as const satisfies Record<string, Fault>

/** Why an answer is not a result, for the log: nothing of its content. */
export type Unreadable = {
  reason:
    | 'not HTTP'
    | 'incomplete'
    | 'not decodable'
    | 'not UTF-8'
    | 'not JSON'
    | 'not SOAP'
    | 'not an object'
    | 'a repeated name'
    | 'no usable status'
    | 'no list'
    | 'nested too deep'
  bytes: number
  looks: 'empty' | 'json' | 'html' | 'binary' | 'text'
}

/** A field by which a row can belong to another chat than the one asked for. */
export type ForeignField = 'platform' | 'platformId' | 'destination'

/** How a request for an OAuth 2.0 token ended, for the log; without a fault it gave one. Nothing in it is secret. */
export type TokenReport = {
  ms: number
  lifetimeS?: number | undefined
  fault?: Fault
  status?: number | undefined
  oauthError?: string | undefined
  networkError?: string | undefined
}

type UpstreamErrorOptions = {
  safe: boolean
  upstreamCode?: string | undefined
  retryAfterS?: number | undefined
  unreadable?: Unreadable | undefined
  foreignField?: ForeignField | undefined
  networkError?: string | undefined
}

/** Whether Afilnet answered with a code that its manual does not name for chats. */
export const isUndocumented = (fault: Fault, upstreamCode: string | undefined): boolean =>
  fault === failures.unknownError || (upstreamCode !== undefined && !Object.hasOwn(faults, upstreamCode))

/** A call that did not succeed: which fault, and whether anything may have happened at Afilnet. */
export class UpstreamError extends Error {
  readonly fault: Fault
  readonly outcome: 'not_applied' | 'unknown'
  /** Afilnet's own code, where it has the form of one. */
  readonly upstreamCode: string | undefined
  readonly retryAfterS: number | undefined
  /** Why the answer is not a result. */
  readonly unreadable: Unreadable | undefined
  /** The field of a row that belongs to another chat than the one asked for: this answer, and what else comes on its connection, may be another request's. */
  readonly foreignField: ForeignField | undefined
  /** The code of Node.js or undici for what went wrong with the connection. */
  readonly networkError: string | undefined

  constructor(fault: Fault, options: UpstreamErrorOptions) {
    const { safe, upstreamCode, retryAfterS, unreadable, foreignField, networkError } = options
    super(fault.code)
    this.name = 'UpstreamError'
    this.fault = fault
    this.outcome = safe ? 'not_applied' : fault.outcome
    this.upstreamCode = upstreamCode
    this.retryAfterS = retryAfterS
    this.unreadable = unreadable
    this.foreignField = foreignField
    this.networkError = networkError
  }
}
