import { failures, UpstreamError } from '../afilnet/faults.ts'
import type { Cancellation } from '../lib/cancellation.ts'
import type { FlightWaiter } from '../lib/single-flight.ts'
import type { Body } from './list-body.ts'
import type { CachedAnswer } from './response-cache.ts'
import { recordCall, SharedRead, type SharedReadOptions, type TaskContext } from './tasks.ts'

type CallerReadOptions = SharedReadOptions & { params: Record<string, string | undefined> }

/** One caller's safe read: it gets an answer that is fresh, one that is on its way, or a new one. */
export class CallerRead implements FlightWaiter<CachedAnswer> {
  readonly cancellation: Cancellation
  readonly #context: TaskContext
  readonly #options: CallerReadOptions
  readonly #startedAt = performance.now()
  readonly #result = Promise.withResolvers<Body>()
  #flight: SharedRead | undefined = undefined
  #hasJoined = false
  #isSecond = false
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(context: TaskContext, options: CallerReadOptions) {
    this.#context = context
    this.#options = options
    this.cancellation = options.call.cancellation
  }

  run(): Promise<Body> {
    const { entry, version } = this.#options
    const { reason } = this.cancellation
    const fresh = this.#context.cache.freshOf(entry, version)
    if (reason) this.fail(reason)
    else if (fresh) this.succeed(fresh)
    else this.#wait()
    return this.#result.promise
  }

  succeed(answer: CachedAnswer) {
    const { operation, call, view } = this.#options
    clearTimeout(this.#timer)
    try {
      this.#result.resolve(answer.bodyFor(operation, view))
      recordCall(call, this.#startedAt)
    } catch (error) {
      recordCall(call, this.#startedAt, error)
      this.#result.reject(error)
    }
  }

  fail(error: unknown) {
    clearTimeout(this.#timer)
    const leftMs = this.#context.policy.timeoutMs - (performance.now() - this.#startedAt)
    if (this.#mayAskAgain(error, leftMs)) return queueMicrotask(() => this.#askAgain(leftMs)) // not inside the end of another call
    recordCall(this.#options.call, this.#startedAt, error)
    this.#result.reject(error)
  }

  onCancelled(reason: Error) {
    this.#flight?.leave(this, reason)
  }

  /** Joins a read that another caller has begun, or begins one. */
  #wait() {
    const { operation, params, entry, version } = this.#options
    const running = entry.flightVersion === version ? entry.flight : undefined
    this.#hasJoined = running !== undefined
    this.#flight = running ?? new SharedRead(this.#context, this.#context.client.write(operation, params), this.#options)
    this.#flight.join(this)
    if (!running) this.#flight.start()
  }

  /** Whether the read of another caller ended for a reason that says nothing about this one. */
  #mayAskAgain(error: unknown, leftMs: number) {
    if (!this.#hasJoined || this.#isSecond || !(error instanceof UpstreamError)) return false
    return error.fault === failures.overloaded || (error.fault === failures.timeout && leftMs > 0)
  }

  #askAgain(leftMs: number) {
    const { reason } = this.cancellation
    this.#isSecond = true
    if (reason) return this.fail(reason)
    this.#timer = setTimeout(expire, Math.max(0, leftMs), this)
    this.#wait()
  }

  expire() {
    this.#flight?.leave(this, new UpstreamError(failures.timeout, this.#options.operation))
  }
}

const expire = (read: CallerRead) => read.expire()
