import { type Static, Type } from '@sinclair/typebox'
import { oneOf } from '../lib/string-enum.ts'
import { catalogue, type ProblemCode, type ProblemRow } from './catalogue.ts'

type ProblemOutcome = 'not_applied' | 'unknown'
export type Retry = 'yes' | 'same-key' | 'no'
/** Where a parameter of a request is. */
export type ParameterLocation = 'path' | 'query' | 'header'
/** One part of a request that is refused: a part of the body, or a parameter. */
type RequestIssue = { in?: ParameterLocation; pointer: string; detail: string }

type Details = {
  detail?: string | undefined
  /** Instead of that of the catalogue. */
  status?: number
  outcome?: ProblemOutcome
  upstreamCode?: string | undefined
  errors?: RequestIssue[] | undefined
  retryAfterS?: number | undefined
  headers?: Record<string, string>
  /** The row of the ledger, once there is one. */
  sendId?: string
  /** The request bore an Idempotency-Key, so that asking again with it never sends again. */
  keyed?: boolean
  /** The body that was recorded for this send; a replay repeats it word for word. */
  recorded?: ProblemBody
  cause?: unknown
}

/** An answer that is an error. Thrown anywhere, written in one place. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly details: Details

  constructor(code: ProblemCode, details: Details = {}) {
    super(code, { cause: details.cause })
    this.name = 'Problem'
    this.code = code
    this.details = details
  }

  get row(): ProblemRow {
    const { status } = this.details
    return status === undefined ? catalogue[this.code] : { ...catalogue[this.code], status }
  }

  get outcome(): ProblemOutcome {
    return this.details.outcome ?? 'not_applied'
  }

  /** Whether the caller may repeat the request. */
  get retry(): Retry {
    return retryOf(this.row, this.outcome, this.details.keyed === true)
  }

  get headers(): Record<string, string> {
    const seconds = this.details.retryAfterS ?? this.row.retryAfterS
    return { ...this.details.headers, ...(this.retry !== 'no' && seconds !== undefined && { 'retry-after': String(seconds) }) }
  }
}

function retryOf({ status, operatorFirst }: ProblemRow, outcome: ProblemOutcome, keyed: boolean): Retry {
  if (operatorFirst) return 'no'
  if (status === 409) return outcome === 'unknown' ? 'same-key' : 'no'
  if (outcome === 'unknown' && keyed) return 'same-key'
  return status === 429 || status === 408 || (outcome === 'not_applied' && status >= 500) ? 'yes' : 'no'
}

const codes = Object.keys(catalogue) as ProblemCode[] // the literal's own keys

/** The body of every error (RFC 9457). */
export type ProblemBody = Static<typeof ProblemBody>
/** Every known code. In answers it is open: later releases may add some. */
export const ProblemCodeSchema = Type.String({
  $id: 'ProblemCode',
  description: 'Stable: decide on this one. The examples are the known values.',
  examples: codes,
})

export const ProblemBody = Type.Object(
  {
    type: Type.String({ description: 'Where the error is explained', examples: ['/problems/chat-not-found'] }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What happened this time, for a person' }),
    instance: Type.String({ description: 'This one occurrence', examples: ['urn:uuid:0b0f3a3e-8a58-4a4d-9d2c-6f6c2f5f0f5b'] }),
    code: Type.Unsafe<ProblemCode>(Type.Ref('ProblemCode')),
    outcome: oneOf(['not_applied', 'unknown'], { description: '`not_applied`: provably nothing happened at Afilnet' }),
    retry: oneOf(['yes', 'same-key', 'no'], {
      description: 'Whether repeating the request is safe and of use; `same-key`: only with the same Idempotency-Key',
    }),
    requestId: Type.String({
      description: '`X-Request-Id`, also in the log; of a stored result, of the request that ended it, or `sendId`',
    }),
    upstreamCode: Type.Optional(Type.String({ description: "Afilnet's own code", examples: ['CHAT_NOT_FOUND'] })),
    sendId: Type.Optional(
      Type.String({ format: 'uuid', description: 'The send, for `GET /sends/{id}`; there as soon as it is in the ledger' }),
    ),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          in: Type.Optional(oneOf(['path', 'query', 'header'], { description: 'Where the parameter is; absent for a part of the body' })),
          pointer: Type.String({ description: 'JSON pointer into the body, or `/` and the name of the parameter', examples: ['/fileUrl'] }),
          detail: Type.String({ description: 'What was found there and what is expected' }),
        }),
        { description: 'The part of the request that is refused; of several, the first that was found' },
      ),
    ),
  },
  { $id: 'Problem', description: 'An error (RFC 9457).' },
)

/** The body for one occurrence of a problem; `base` is the public URL, or empty. */
export function problemBody(
  problem: Problem,
  { base, requestId, instance }: { base: string; requestId: string; instance: string },
): ProblemBody {
  const { code, row, outcome, retry, details } = problem
  const { status, title, meaning } = row
  return {
    type: `${base}/problems/${code}`,
    title,
    status,
    detail: details.detail ?? meaning,
    instance: `urn:uuid:${instance}`,
    code,
    outcome,
    retry,
    requestId,
    ...(details.upstreamCode !== undefined && { upstreamCode: details.upstreamCode }),
    ...(details.sendId !== undefined && { sendId: details.sendId }),
    ...(details.errors && { errors: details.errors }),
  }
}
