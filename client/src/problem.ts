import type { components } from './api.ts'

type ProblemBody = components['schemas']['Problem']

/**
 * An error of the gateway, or of the way to it. Decide on `code`, `outcome` and `retry`.
 *
 * Without an answer of the gateway, `code` is `gateway-unreachable`, `unreadable-answer` or `unusable-key`, and `status` is 0 or that of the answer.
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

/** The problem of a repetition, where an earlier request may have been applied. */
export function inDoubt(problem: GatewayProblem): GatewayProblem {
  const { code, status, title, message: detail, retry, retryAfterMs, body } = problem
  const verdict = { outcome: 'unknown', retry: retry === 'yes' ? 'same-key' : retry } as const
  return new GatewayProblem({ code, status, title, detail, ...verdict }, { retryAfterMs, ...(body && { body }), cause: problem })
}

/** What matters of a request whose answer is lost. */
type Sent = Pick<Request, 'method'> & Partial<Pick<Request, 'url' | 'headers'>>
type Details = { retryAfterMs?: number | undefined; body?: ProblemBody; cause?: unknown }

/** Reads the error out of an answer; one of a proxy, say, is judged by its status. */
export async function problemOf(request: Request, response: Response): Promise<GatewayProblem> {
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json')
  const body = isProblem ? parsed(await textOf(request, response)) : undefined
  if (typeof body?.code !== 'string') return foreign(request, response)
  return new GatewayProblem(body as ProblemBody, { retryAfterMs: retryAfterMsOf(response), body: body as ProblemBody }) // as the API document promises
}

/** Throws unless a success came whole, and as JSON: openapi-fetch reads it after its last hook, where no error becomes a problem. */
export async function checkAnswer(request: Request, response: Response, isJson: boolean): Promise<void> {
  const text = await textOf(request, response.clone())
  if (isJson && !parsed(text)) throw foreign(request, response)
}

/** An answer of something else on the way. A success says as little about the request as no answer. */
export function foreign(request: Sent, response: Response): GatewayProblem {
  const { status, ok } = response
  const isPassing = ok || status >= 500 || status === 429 || status === 408
  return unreadable(request, response, `The answer ${status} does not come from the gateway`, isPassing ? {} : { retry: 'no' })
}

async function textOf(request: Request, response: Response) {
  try {
    return await response.text()
  } catch (cause) {
    if (request.signal.aborted) throw cause
    throw unreadable(request, response, `The answer ${response.status} broke off`, { cause })
  }
}

function parsed(text: string): Partial<ProblemBody> | undefined {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function unreadable(request: Sent, response: Response, title: string, { cause, ...verdict }: { retry?: 'no'; cause?: unknown }) {
  const problem = { code: 'unreadable-answer', status: response.status, title, ...lost(request), ...verdict } as const
  return new GatewayProblem(problem, { retryAfterMs: retryAfterMsOf(response), cause })
}

function retryAfterMsOf({ headers }: Response) {
  const seconds = Number(headers.get('retry-after'))
  return seconds > 0 ? seconds * 1000 : undefined // a proxy may write a date, or 0, which would repeat at once for hours
}

/** No answer came: the network failed, or the gateway is not there. */
export const unreachable = (request: Sent, cause: unknown) =>
  new GatewayProblem({ code: 'gateway-unreachable', title: 'The gateway cannot be reached', ...lost(request) }, { cause })

/** What is known of a request whose answer is lost. Afilnet may mark the messages of `unread` as read. */
function lost({ method, url, headers }: Sent) {
  const isRead = method === 'GET' || method === 'HEAD'
  if (isRead && !/\/unread(\?|$)/.test(url ?? '')) return { outcome: 'not_applied', retry: 'yes' } as const
  return { outcome: 'unknown', retry: !isRead && headers?.has('idempotency-key') ? 'same-key' : 'no' } as const
}
