import { openEnvelope } from '../afilnet/envelope.ts'
import { UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import type { WireRequest } from '../afilnet/transports.ts'
import { Flight } from '../lib/single-flight.ts'
import type { Call, SendAttempt } from './call.ts'
import { Execution, type ExecutionContext, type Task } from './execution.ts'
import { type Body, render, type ViewOptions } from './list-body.ts'
import type { CachedAnswer, CacheEntry, ResponseCache } from './response-cache.ts'

/** What a task needs of its account. */
export type TaskContext = ExecutionContext & {
  readonly cache: ResponseCache<SharedRead>
  /** Throws an `UpstreamError` if a send could not leave now. */
  admit(operation: Operation, caller: string): void
  recordWrite(bucket: number): void
  /** For a list with at least one such item. */
  reportSkipped(operation: Operation, count: number): void
}

type ReadOptions = { operation: Operation; call: Call; view: ViewOptions }
export type SharedReadOptions = ReadOptions & {
  key: string
  entry: CacheEntry<SharedRead>
  /** The number of writes that the answer must not miss. */
  version: number
}

/** A safe read, and all callers that wait for its answer. */
export class SharedRead extends Flight<CachedAnswer> implements Task {
  readonly operation: Operation
  readonly request: WireRequest
  readonly call: Call
  readonly #context: TaskContext
  readonly #options: SharedReadOptions
  readonly #execution: Execution
  #answer: CachedAnswer | undefined = undefined

  constructor(context: TaskContext, request: WireRequest, options: SharedReadOptions) {
    super()
    this.operation = options.operation
    this.request = request
    this.call = options.call
    this.#context = context
    this.#options = options
    this.#execution = new Execution(context, this)
    const { entry, version } = options
    entry.flight = this
    entry.flightVersion = version
  }

  start() {
    this.#execution.start()
  }

  parse(bytes: Buffer) {
    const { key, entry, version, view } = this.#options
    const { cache } = this.#context
    const answer = cache.reuseIfEqual(entry, bytes)
    const { skipped } = answer.bodyFor(this.operation, view)
    if (skipped > 0) this.#context.reportSkipped(this.operation, skipped)
    cache.keep(key, entry, answer, version)
    this.#answer = answer
  }

  done(error?: unknown) {
    const { entry } = this.#options
    if (entry.flight === this) entry.flight = undefined // from now on no caller can join
    if (this.#answer && error === undefined) this.succeed(this.#answer)
    else this.fail(error)
  }

  protected abandon(reason: Error) {
    this.#execution.cancel(reason)
  }
}

/** A read that may change something at Afilnet: never shared, never cancelled, never kept. */
export class UnsharedRead implements Task {
  readonly operation: Operation
  readonly request: WireRequest
  readonly call: Call
  readonly #context: TaskContext
  readonly #view: ViewOptions
  readonly #result = Promise.withResolvers<Body>()
  readonly #startedAt = performance.now()
  #body: Body | undefined = undefined

  constructor(context: TaskContext, request: WireRequest, { operation, call, view }: ReadOptions) {
    this.operation = operation
    this.request = request
    this.call = call
    this.#context = context
    this.#view = view
  }

  run(): Promise<Body> {
    this.call.unsafeStarted = true
    new Execution(this.#context, this).start()
    return this.#result.promise
  }

  parse(bytes: Buffer) {
    this.#body = { ...render(this.operation, bytes, this.#view), etag: '' }
    if (this.#body.skipped > 0) this.#context.reportSkipped(this.operation, this.#body.skipped)
  }

  done(error?: unknown) {
    recordCall(this.call, this.#startedAt, error)
    if (this.#body && error === undefined) this.#result.resolve(this.#body)
    else this.#result.reject(error)
  }
}

type SendingOptions = { operation: Operation; request: WireRequest; call: Call; bucket: number }

/** A send: never shared, never cancelled by its caller, retried only if nothing left. */
export class Sending implements Task, SendAttempt {
  readonly operation: Operation
  readonly request: WireRequest
  readonly call: Call
  readonly #context: TaskContext
  readonly #bucket: number
  readonly #result = Promise.withResolvers<void>()
  readonly #startedAt = performance.now()
  #onLateResult: (error?: unknown) => void = () => {}

  constructor(context: TaskContext, { operation, request, call, bucket }: SendingOptions) {
    this.operation = operation
    this.request = request
    this.call = call
    this.#context = context
    this.#bucket = bucket
  }

  admit() {
    this.#context.admit(this.operation, this.call.caller)
  }

  run(onLateResult: (error?: unknown) => void): Promise<void> {
    this.#onLateResult = onLateResult
    this.call.unsafeStarted = true
    new Execution(this.#context, this).start()
    return this.#result.promise
  }

  parse(bytes: Buffer) {
    openEnvelope(this.operation, bytes)
  }

  done(error?: unknown) {
    this.#context.recordWrite(this.#bucket)
    recordCall(this.call, this.#startedAt, error)
    if (error === undefined) this.#result.resolve()
    else this.#result.reject(error)
  }

  onLateResult(error?: unknown) {
    this.#context.recordWrite(this.#bucket)
    this.#onLateResult(error)
  }

  onReplay() {
    this.#context.recordWrite(this.#bucket)
  }
}

/** Notes for the log how long the request waited for Afilnet, and how that ended. */
export function recordCall(call: Call, startedAt: number, error?: unknown) {
  if (error instanceof UpstreamError && error.upstreamCode !== undefined) call.upstreamCode = error.upstreamCode
  call.upstreamMs = Math.round(performance.now() - startedAt)
}
