// Longer than 200 lines, because the states of one exchange are changed by four parties: queue, undici, timer and caller.
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { CollectedBytes } from '../lib/collected-bytes.ts'
import type { Waiter } from '../lib/fair-queue.ts'
import type { Admission } from './admission.ts'
import type { Connection, Connections } from './connections.ts'
import { decodeContent } from './content-coding.ts'
import { type Fault, failures, UpstreamError } from './faults.ts'
import { LargeResponse, type LargeResponseSlots } from './large-responses.ts'
import type { Operation } from './operations.ts'
import { faultOfError, faultOfStatus, networkErrorOf, retryAfter } from './response-faults.ts'
import type { WireRequest } from './transports.ts'
import { unreadable } from './unreadable.ts'

/** What all calls of one account share. */
export type ClientState = {
  admission: Admission
  connections: Connections
  largeResponseSlots: LargeResponseSlots
  evenShare: { readonly bytes: number }
  maxResponseBytes: number
  lateMs: number
  /** The body of an error may say more than its HTTP status. */
  readsFaults?: boolean
  /** Set by an answer that bears the sandbox's mark. */
  isSandbox: boolean
}

/** What the end of a call says beside its result. */
export type EndedCall = { readonly startedAt: number | undefined; readonly isMagic: boolean }

/** Is called once, when the exchange ends. */
export type ExchangeListener = {
  /** Called when a slot comes free after a wait; throws if the call must not be made any more. */
  stillWanted?(): void
  onAnswer(bytes: Buffer, exchange: Exchange): void
  onFailure(error: unknown, call: EndedCall): void
  /** Called at the deadline: who takes the result that comes later, if it is of use. `onFailure` then tells of the timeout. */
  continueLate?(): ExchangeListener | undefined
}

export type ExchangeOptions = { operation: Operation; request: WireRequest; caller: string; timeoutMs: number }

/**
 * One request and its answer's bytes, inside one deadline: the waiter in the fair queue and the handler of undici.
 *
 * It keeps its slot until undici has let go of the request.
 */
export class Exchange implements Waiter, Dispatcher.DispatchHandler {
  readonly caller: string
  position: Waiter['position'] = 'none'
  /** The sandbox answers so to a magic destination only: it says nothing about other calls. */
  isMagic = false
  /** When the request left. */
  startedAt: number | undefined = undefined
  /** The `Date` of the answer; none from a cache, which keeps an old one. */
  date: string | undefined = undefined
  /** What the HTTP status says of an answer whose body is read all the same. */
  statusFault: Fault | undefined = undefined
  readonly #state: ClientState
  readonly #operation: Operation
  readonly #request: WireRequest
  readonly #deadline: number
  readonly #timeoutMs: number
  readonly #body = new CollectedBytes()
  #listener: ExchangeListener
  #timer: NodeJS.Timeout | undefined = undefined
  #connection: Connection | undefined = undefined
  #controller: Dispatcher.DispatchController | undefined = undefined // from the moment at which the request leaves
  #coding: string | string[] | undefined = undefined
  #large: LargeResponse | undefined = undefined
  #settled = false
  #answering = false
  #late = false
  #distrusted = false
  #waits = false

  constructor(state: ClientState, { operation, request, caller, timeoutMs }: ExchangeOptions, listener: ExchangeListener) {
    this.#state = state
    this.#operation = operation
    this.#request = request
    this.caller = caller
    this.#listener = listener
    this.#timeoutMs = timeoutMs
    this.#deadline = performance.now() + timeoutMs
  }

  /** The listener may be called before this returns. */
  start() {
    const { admission } = this.#state
    this.#waits = admission.positionOf(this.caller) > 0
    if (this.#waits && !admission.canServe(this.#operation, this.caller, this.#timeoutMs)) return this.onEvicted()
    const patienceMs = this.#waits ? this.#timeoutMs - admission.minBudgetMs(this.#operation, this.caller) : this.#timeoutMs
    this.#timer = setTimeout(expire, Math.max(0, patienceMs), this)
    admission.acquire(this)
  }

  /** Ends a call without waiting callers. Never with an operation that is not safe. */
  cancel(reason: Error) {
    this.#fail(reason)
    this.#stop()
  }

  /** Closes the connection instead of using it again: what came over it cannot be the answer to this request. */
  distrustConnection() {
    this.#distrusted = true
  }

  onAcquired() {
    const { admission, connections } = this.#state
    if (this.#settled) return // given up just as a slot became free
    if (this.#waits) {
      const leftMs = this.#deadline - performance.now()
      if (leftMs < admission.minBudgetMs(this.#operation, this.caller)) return this.onEvicted()
      try {
        this.#listener.stillWanted?.()
      } catch (error) {
        this.#fail(error)
        return this.#end()
      }
      clearTimeout(this.#timer)
      this.#timer = setTimeout(expire, Math.max(0, leftMs), this)
    }
    this.startedAt = performance.now()
    this.#connection = connections.take(this.#operation.kind === 'send')
    this.#connection.dispatch(this.#request, this)
  }

  /** A caller that cannot be served in time is better off elsewhere at once than after the whole budget. */
  onEvicted() {
    this.#fail(this.#state.admission.overloaded(this.#operation, this.caller))
    this.#end()
  }

  onRequestStart(controller: Dispatcher.DispatchController) {
    if (this.#settled) return controller.abort(new Error('the call is over'))
    this.#controller = controller
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders) {
    if (status < 200) return
    this.#answering = true
    this.#coding = headers['content-encoding']
    this.date = headers.age === undefined ? headers.date : undefined
    this.#body.expectedSize = Number(headers['content-length']) || 0
    if (headers['x-sandbox'] === 'true') {
      this.#state.isSandbox = true
      this.isMagic = headers['x-sandbox-magic'] === 'true'
    }
    if (status < 300) return
    const fault = faultOfStatus(status)
    if (this.#state.readsFaults && fault.code === failures.serverError.code) this.statusFault = fault
    else this.#failAs(fault, { retryAfterS: fault === failures.rateLimited ? retryAfter(headers) : undefined })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer) {
    if (this.#settled) return
    const { evenShare, maxResponseBytes, largeResponseSlots } = this.#state
    this.#body.append(chunk, this.#large?.mayFlow ? maxResponseBytes : evenShare.bytes)
    if (!this.#large && this.#body.size > evenShare.bytes) this.#large = new LargeResponse(largeResponseSlots, this.caller, controller)
  }

  onResponseEnd() {
    clearTimeout(this.#timer)
    this.#connection?.markEnd()
    // undici looks at bytes behind the answer only after this callback, and the connection counts as busy until then.
    setImmediate(finish, this)
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error) {
    this.#distrusted = true
    const fault = this.#controller ? faultOfError(error, this.#answering) : failures.unreachable
    const answer = { operation: this.#operation, bytes: this.#body.take() }
    if (fault === failures.invalidResponse) this.#fail(unreadable(answer, this.#answering ? 'incomplete' : 'not HTTP'))
    else this.#failAs(fault, { networkError: networkErrorOf(error) })
    this.#end()
  }

  /** The answer is complete, and undici has looked at what follows it. */
  finish() {
    if (this.#connection?.hasSurplus) {
      this.#distrusted = true
      this.#failAs(failures.connectionLost, { networkError: 'SURPLUS_BYTES' })
    } else if (!this.#settled) {
      const bytes = this.#body.take()
      const content = this.#coding === undefined ? bytes : decodeContent(bytes, this.#coding, this.#state.maxResponseBytes)
      if (Buffer.isBuffer(content)) {
        this.#settled = true
        this.#listener.onAnswer(content, this)
        this.#large?.release()
      } else if (content === failures.invalidResponse) this.#fail(unreadable({ operation: this.#operation, bytes }, 'not decodable'))
      else this.#failAs(content)
    }
    this.#recordEnd()
    this.release()
  }

  expire() {
    const { admission, lateMs } = this.#state
    const listener = this.#controller && !this.#settled && !this.#late ? this.#listener.continueLate?.() : undefined
    if (listener && admission.startLate()) {
      this.#late = true
      this.#timer = setTimeout(expire, lateMs, this)
      const caller = this.#listener
      this.#listener = listener
      return caller.onFailure(new UpstreamError(failures.timeout, this.#operation), this)
    }
    if (this.startedAt === undefined) return this.onEvicted()
    if (this.#controller) this.#failAs(failures.timeout)
    else this.#failAs(failures.unreachable, { networkError: 'ETIMEDOUT' })
    this.#stop()
  }

  release() {
    const { admission, connections } = this.#state
    if (this.#connection && this.#distrusted) connections.retire(this.#connection)
    else if (this.#connection) connections.release(this.#connection)
    admission.release(this)
  }

  #failAs(fault: Fault, details: Partial<Pick<UpstreamError, 'retryAfterS' | 'networkError'>> = {}) {
    if (!this.#settled) this.#fail(new UpstreamError(fault, { safe: this.#operation.safe, ...details }))
  }

  #fail(error: unknown) {
    if (this.#settled) return
    this.#settled = true
    this.#body.clear()
    this.#large?.release()
    this.#listener.onFailure(error, this)
  }

  #stop() {
    if (this.startedAt === undefined) this.#end()
    else this.#controller?.abort(new Error('the call is over')) // while it still connects, onRequestStart does this
  }

  #end() {
    this.#recordEnd()
    if (this.position !== 'none') setImmediate(release, this) // not inside a callback of undici
  }

  #recordEnd() {
    clearTimeout(this.#timer)
    if (this.#late) this.#state.admission.endLate()
    if (this.startedAt !== undefined) this.#state.admission.recordHoldTime(this.caller, performance.now() - this.startedAt)
  }
}

const finish = (exchange: Exchange) => exchange.finish()
const expire = (exchange: Exchange) => exchange.expire()
const release = (exchange: Exchange) => exchange.release()
