import { failures, faults, isUndocumented, mismatch, UpstreamError } from '../afilnet/faults.ts'
import { type Operation, operations } from '../afilnet/operations.ts'
import type { Observe } from '../events.ts'
import { atFirstFailure, CircuitBreaker, halfOfRecent, type Verdict } from '../lib/circuit-breaker.ts'
import { RetryBudget } from '../lib/retry-budget.ts'

/** What the calls of one account tell of Afilnet; never its user. */
export type UpstreamHealth = {
  lastAnswer?: { at: string; operation: string; code: string }
  /** `null` before the first answer that shows it; `since` when it last changed. */
  credentials: { accepted: boolean | null; since?: string }
  breakers: { operation: string; open: boolean }[]
}

type CallPolicyOptions = { account: string; timeoutMs: number; observe: Observe }

const countedFailures = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable, failures.serverError])
const unanswered = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable])
const neverMade = new Set<unknown>([failures.overloaded, failures.circuitOpen, failures.requestTooLong])

/** A caller that left, or a call that was never made, says nothing about Afilnet; any answer but a failing server's does. */
function operationVerdict(error: unknown): Verdict {
  if (error === undefined) return 'answered'
  if (!(error instanceof UpstreamError) || neverMade.has(error.fault)) return 'nothing'
  return countedFailures.has(error.fault) ? 'failed' : 'answered'
}

/** Only an answer in Afilnet's own words proves that it took the credentials. */
function credentialsVerdict(error: unknown): Verdict {
  if (error === undefined) return 'answered'
  if (!(error instanceof UpstreamError)) return 'nothing'
  if (error.fault === faults.INCORRECT_USER_PASSWORD) return 'failed'
  return error.upstreamCode === undefined ? 'nothing' : 'answered'
}

/** Decides whether Afilnet may be called for one account, and learns from how calls end. */
export class CallPolicy {
  readonly timeoutMs: number
  readonly retries = new RetryBudget()
  readonly credentials: CircuitBreaker
  readonly #account: string
  readonly #observe: Observe
  readonly #breakers = new Map<string, CircuitBreaker>()
  #lastAnswer: { at: number; operation: string; code: string } | undefined
  #accepted: UpstreamHealth['credentials'] = { accepted: null }
  /** The code with which Afilnet last rejected the credentials; none with a bare HTTP 401. */
  #rejectedWith: string | undefined

  constructor({ account, timeoutMs, observe }: CallPolicyOptions) {
    this.timeoutMs = timeoutMs
    this.#account = account
    this.#observe = observe
    // Answers for the whole account while Afilnet rejects its credentials: further calls could lock it.
    this.credentials = new CircuitBreaker({
      rule: atFirstFailure,
      firstProbeMs: 60_000,
      maxProbeMs: 900_000,
      inconclusiveMs: 60_000, // Afilnet may have checked the password all the same
      onStateChange: open => {
        this.#accepted = { accepted: !open, since: new Date().toISOString() }
        observe('credentialsStateChanged', { account, accepted: !open })
      },
    })
  }

  #breakerOf({ method: operation }: Operation): CircuitBreaker {
    let breaker = this.#breakers.get(operation)
    if (!breaker) {
      breaker = new CircuitBreaker({
        rule: halfOfRecent({ windowMs: 10_000, minCalls: 20 }),
        firstProbeMs: 2_000,
        maxProbeMs: 30_000,
        inconclusiveMs: 0,
        onStateChange: open => this.#observe('circuitStateChanged', { account: this.#account, operation, open }),
      })
      this.#breakers.set(operation, breaker)
    }
    return breaker
  }

  /** The circuit breaker of a call; throws an `UpstreamError` (`INCORRECT_USER_PASSWORD` or `circuitOpen`) if it must not be made now. */
  admit(operation: Operation): CircuitBreaker {
    const { safe } = operation
    const breaker = this.#breakerOf(operation)
    if (this.credentials.retryAfterS !== undefined) {
      this.#observe('callRefused', { account: this.#account, reason: 'credentials' })
      throw new UpstreamError(faults.INCORRECT_USER_PASSWORD, { safe, upstreamCode: this.#rejectedWith })
    }
    const { retryAfterS } = breaker
    if (retryAfterS === undefined) return breaker
    this.#observe('callRefused', { account: this.#account, reason: 'circuit-open' })
    throw new UpstreamError(failures.circuitOpen, { safe, retryAfterS })
  }

  /** Reports the end of one attempt, which was a call if it started. */
  observeAttempt({ method: operation }: Operation, startedAt: number | undefined, error: unknown) {
    const account = this.#account
    const isKnown = error instanceof UpstreamError
    if (isKnown && error.fault === failures.overloaded) return this.#observe('callRefused', { account, reason: 'overloaded' })
    if (startedAt === undefined) return
    if (error !== undefined && !isKnown) return this.#observe('upstreamAbandoned', { account, operation })
    const fault = error?.fault
    const upstreamCode = error?.upstreamCode
    this.#observe('upstreamAnswered', { account, operation, ms: performance.now() - startedAt, fault, upstreamCode })
    if (fault === failures.unreachable || fault === failures.connectionLost)
      this.#observe('connectionFailed', { account, operation, code: fault.code, networkError: error?.networkError })
    if (fault && (fault === mismatch || isUndocumented(fault, upstreamCode)))
      this.#observe('codeUnexpected', { account, operation, code: fault.code, upstreamCode })
    if (error?.unreadable) this.#observe('answerUnreadable', { account, operation, ...error.unreadable })
    if (error?.foreignField) this.#observe('foreignRow', { account, operation, field: error.foreignField })
    if (fault && unanswered.has(fault)) return
    this.#lastAnswer = { at: Date.now(), operation, code: upstreamCode ?? fault?.code ?? 'ok' }
    if (this.#accepted.accepted === null && credentialsVerdict(error) === 'answered') {
      this.#accepted = { accepted: true, since: new Date().toISOString() }
    }
  }

  /** A call with its retries is over: only how it ends as a whole counts for the breakers. */
  endCall(breaker: CircuitBreaker, ticket: number, credentialsTicket: number, error: unknown) {
    if (error instanceof UpstreamError && error.fault === faults.INCORRECT_USER_PASSWORD) this.#rejectedWith = error.upstreamCode
    breaker.end(ticket, operationVerdict(error))
    this.credentials.end(credentialsTicket, credentialsVerdict(error))
  }

  health(): UpstreamHealth {
    const last = this.#lastAnswer
    return {
      ...(last && { lastAnswer: { ...last, at: new Date(last.at).toISOString() } }),
      credentials: this.#accepted,
      breakers: operations.map(({ method }) => ({ operation: method, open: this.#breakers.get(method)?.isOpen ?? false })),
    }
  }
}
