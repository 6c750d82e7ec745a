import type { components } from './api.ts'

type ProblemBody = components['schemas']['Problem']

/**
 * An error of the gateway, or of the way to it. Decide on `code`, `outcome` and `retry`.
 *
 * Without an answer of the gateway, `code` is `gateway-unreachable` or `unreadable-answer`, and `status` is 0 or that of the answer.
 */
export class GatewayProblem extends Error {
  override name = 'GatewayProblem'
  readonly code: string
  readonly status: number
  readonly title: string
  /** Whether anything may have happened at Afilnet. */
  readonly outcome: ProblemBody['outcome']
  /** Whether the request may be repeated: as it is, only with the same `Idempotency-Key`, or not. */
  readonly retry: ProblemBody['retry']
  /** The gateway's advice when to repeat. */
  readonly retryAfterMs: number | undefined
  /** The whole answer, if it is one of the gateway. */
  readonly body: ProblemBody | undefined
  /** Of a send: repeat it with this key, and it never sends twice. */
  idempotencyKey?: string

  constructor(problem: Partial<ProblemBody> & Pick<ProblemBody, 'code' | 'outcome' | 'retry'>, more: Details = {}) {
    super(problem.detail ?? problem.title ?? problem.code, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = problem.code
    this.status = problem.status ?? 0
    this.title = problem.title ?? problem.code
    this.outcome = problem.outcome
    this.retry = problem.retry
    this.retryAfterMs = more.retryAfterMs
    this.body = more.body
  }
}

type Details = { retryAfterMs?: number | undefined; body?: ProblemBody; cause?: unknown }

/** Reads the error out of an answer; one of a proxy, say, is judged by its status. */
export async function problemOf(request: Request, response: Response): Promise<GatewayProblem> {
  const { status, headers } = response
  const seconds = Number(headers.get('retry-after') ?? Number.NaN)
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined
  if (headers.get('content-type')?.startsWith('application/problem+json')) {
    const body = (await response.json().catch(() => undefined)) as ProblemBody | undefined // as the API document promises
    if (typeof body?.code === 'string') return new GatewayProblem(body, { retryAfterMs, body })
  }
  const passing = status >= 500 || status === 429 || status === 408
  const title = `The answer ${status} does not come from the gateway`
  return new GatewayProblem(
    { code: 'unreadable-answer', status, title, ...lost(request), ...(!passing && { retry: 'no' }) },
    { retryAfterMs },
  )
}

/** No answer came: the network failed, or the gateway is not there. */
export const unreachable = (request: Request, cause: unknown) =>
  new GatewayProblem({ code: 'gateway-unreachable', title: 'The gateway cannot be reached', ...lost(request) }, { cause })

/** What is known of a request whose answer is lost. */
const lost = ({ method }: Request) =>
  method === 'GET' || method === 'HEAD'
    ? ({ outcome: 'not_applied', retry: 'yes' } as const)
    : ({ outcome: 'unknown', retry: 'same-key' } as const)
