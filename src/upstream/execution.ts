import type { Client } from '../afilnet/client.ts'
import type { EndedCall, Exchange, ExchangeListener } from '../afilnet/exchange.ts'
import { failures, UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import type { ExchangeHandle } from '../afilnet/protocol.ts'
import type { WireRequest } from '../afilnet/transports.ts'
import { type CircuitBreaker, isProbe, type Ticket } from '../lib/circuit-breaker.ts'
import type { Call, TraceAttempt } from './call.ts'
import type { CallPolicy } from './call-policy.ts'

/** What is to be called, and who gets the result. */
export type Task = {
  readonly operation: Operation
  readonly request: WireRequest
  readonly call: Call
  /** Parses an answer, and takes the time from its `Date`; throws an `UpstreamError` if it is no result. */
  parse(bytes: Buffer, date?: string): void
  /** The call is over. Without an error, `parse` has accepted its answer. */
  done(error?: unknown): void
  /** Takes a result that comes after the deadline, if it is of use then. */
  onLateResult?(error?: unknown): void
}

/** What every call of an account needs. */
export type ExecutionContext = { client: Client; policy: CallPolicy; traceAttempt: TraceAttempt | undefined }

const retryableReads = new Set<unknown>([failures.connectionLost, failures.unreachable, failures.serverError])
const maxAttempts = 3

/** One call with its retries inside one deadline. */
export class Execution implements ExchangeListener {
  readonly #context: ExecutionContext
  readonly #task: Task
  readonly #deadline: number
  #breaker: CircuitBreaker | undefined = undefined
  #ticket: Ticket = 0
  #credentialsTicket: Ticket = 0
  #attempts = 0
  #exchange: ExchangeHandle | undefined = undefined
  #endTrace: ((error?: unknown) => void) | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #lastError: unknown = undefined

  constructor(context: ExecutionContext, task: Task) {
    this.#context = context
    this.#task = task
    this.#deadline = performance.now() + context.policy.timeoutMs
  }

  /** The task may be done before this returns. */
  start() {
    const { policy } = this.#context
    const { operation } = this.#task
    try {
      this.#breaker = policy.admit(operation)
    } catch (error) {
      return this.#task.done(error)
    }
    this.#credentialsTicket = policy.credentials.begin()
    this.#ticket = this.#breaker.begin()
    policy.retries.recordCall()
    this.#attempt()
  }

  /** Ends a call without waiting callers. Never with an operation that is not safe. */
  cancel(reason: Error) {
    clearTimeout(this.#timer)
    if (this.#exchange) this.#exchange.cancel(reason)
    else this.#end(reason)
  }

  stillWanted() {
    if (this.#isExpired()) throw new UpstreamError(failures.overloaded, this.#task.operation)
    if (isProbe(this.#ticket) || isProbe(this.#credentialsTicket)) return // `admit` would refuse it because of itself
    this.#context.policy.admit(this.#task.operation)
  }

  onAnswer(bytes: Buffer, exchange: Exchange) {
    try {
      this.#task.parse(bytes, exchange.date)
    } catch (error) {
      if (error instanceof UpstreamError && error.foreignField) exchange.distrustConnection()
      return this.onFailure(error, exchange)
    }
    this.#observe(exchange)
    this.#end()
  }

  onFailure(error: unknown, call: EndedCall) {
    this.#observe(call, error)
    const pauseMs = this.#pauseBeforeRetryMs(error)
    if (pauseMs === undefined) return this.#end(error, call.isMagic)
    this.#lastError = error
    this.#timer = setTimeout(retry, pauseMs, this)
  }

  continueLate(): ExchangeListener | undefined {
    const task = this.#task
    if (!task.onLateResult) return undefined
    return {
      onAnswer(bytes) {
        try {
          task.parse(bytes)
        } catch (error) {
          return task.onLateResult?.(error)
        }
        task.onLateResult?.()
      },
      onFailure: error => task.onLateResult?.(error),
    }
  }

  retry() {
    if (this.#isHeldBack()) this.#end(this.#lastError)
    else this.#attempt()
  }

  #attempt() {
    const { client, traceAttempt } = this.#context
    const { operation, request, call } = this.#task
    this.#attempts++
    this.#endTrace = traceAttempt?.(call, operation)
    this.#exchange = client.exchange({ operation, request, caller: call.caller, timeoutMs: this.#deadline - performance.now() }, this)
    this.#exchange.start()
  }

  #observe({ startedAt }: EndedCall, error?: unknown) {
    this.#exchange = undefined
    this.#endTrace?.(error)
    this.#context.policy.observeAttempt(this.#task.operation, startedAt, error)
  }

  /** A probe is one call, and a call that began before the circuit opened must not retry. */
  #isHeldBack() {
    if (this.#isExpired()) return true
    return this.#context.policy.credentials.isOpen || this.#breaker?.isOpen === true
  }

  #isExpired() {
    const { expiresAt } = this.#task.call
    return expiresAt !== undefined && Date.now() >= expiresAt
  }

  /** How long to wait before a retry; `undefined` where there must be none. */
  #pauseBeforeRetryMs(error: unknown): number | undefined {
    if (this.#attempts === maxAttempts || !mayRetry(this.#task.operation, error)) return undefined
    const pauseMs = (0.5 + Math.random()) * 50 * 4 ** (this.#attempts - 1)
    const isInTime = this.#deadline - performance.now() > 2 * pauseMs
    return isInTime && !this.#isHeldBack() && this.#context.policy.retries.take() ? pauseMs : undefined
  }

  #end(error?: unknown, isMagic = false) {
    const counted = isMagic ? undefined : error
    if (this.#breaker) this.#context.policy.endCall(this.#breaker, this.#ticket, this.#credentialsTicket, counted)
    this.#task.done(error)
  }
}

const retry = (execution: Execution) => execution.retry()

/** Nothing left the gateway, or it is a read that can be asked again. */
function mayRetry({ kind, safe }: Operation, error: unknown) {
  if (!(error instanceof UpstreamError)) return false
  return safe ? retryableReads.has(error.fault) : kind === 'send' && error.fault === failures.unreachable
}
