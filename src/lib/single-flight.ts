import { type CancelListener, Cancellation } from './cancellation.ts'

/** One piece of work that several wait for. */
export abstract class Flight<T> {
  readonly #waiters: FlightWaiter<T>[] = []

  /** Called when the last waiter has left. */
  protected abstract abandon(reason: Error): void

  /** Resolves with the result, unless this waiter is cancelled before. */
  join(cancellation: Cancellation): Promise<T> {
    return new Promise((resolve, reject) => {
      if (cancellation.reason) return reject(cancellation.reason)
      const waiter = new FlightWaiter(this, cancellation, resolve, reject)
      cancellation.onCancel(waiter)
      this.#waiters.push(waiter)
    })
  }

  leave(waiter: FlightWaiter<T>, reason: Error) {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    waiter.reject(reason)
    if (this.#waiters.length === 0) this.abandon(reason)
  }

  succeed(value: T) {
    this.#end(waiter => waiter.resolve(value))
  }

  fail(error: unknown) {
    this.#end(waiter => waiter.reject(error))
  }

  #end(settle: Settle<T>) {
    const waiters = this.#waiters.splice(0)
    for (const { cancellation } of waiters) cancellation.unsubscribe()
    if (waiters.length > batchSize) settleInBatches(waiters, settle)
    else for (const waiter of waiters) settle(waiter)
  }
}

type Settle<T> = (waiter: FlightWaiter<T>) => void

/** Waiters settled in one turn of the event loop: hundreds of answers in one turn would delay every other request. */
const batchSize = 16

/** Each settles the next batch of a flight that has ended, and returns whether it was the last one. */
const batches: (() => boolean)[] = []

function settleInBatches<T>(waiters: readonly FlightWaiter<T>[], settle: Settle<T>) {
  let settled = 0
  batches.push(() => {
    for (const waiter of waiters.slice(settled, settled + batchSize)) {
      const { reason } = waiter.cancellation // its caller may have left since
      if (reason) waiter.reject(reason)
      else settle(waiter)
    }
    settled += batchSize
    return settled >= waiters.length
  })
  if (batches.length === 1) settleNextBatch()
}

function settleNextBatch() {
  if (batches[0]?.()) batches.shift()
  if (batches.length > 0) setImmediate(settleNextBatch)
}

class FlightWaiter<T> implements CancelListener {
  readonly cancellation: Cancellation
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
  readonly #flight: Flight<T>

  constructor(flight: Flight<T>, cancellation: Cancellation, resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.#flight = flight
    this.cancellation = cancellation
    this.resolve = resolve
    this.reject = reject
  }

  onCancelled(reason: Error) {
    this.#flight.leave(this, reason)
  }
}

/** Cancelled with another cancellation, or after some time; `unsubscribe` ends both. */
export class TimedCancellation extends Cancellation implements CancelListener {
  readonly #other: Cancellation
  readonly #timer: NodeJS.Timeout

  constructor(ms: number, other: Cancellation, reason: Error) {
    super()
    this.#other = other
    this.#timer = setTimeout(() => this.cancel(reason), ms)
    other.onCancel(this)
  }

  onCancelled(reason: Error) {
    clearTimeout(this.#timer)
    this.cancel(reason)
  }

  override unsubscribe() {
    super.unsubscribe()
    clearTimeout(this.#timer)
    this.#other.unsubscribe()
  }
}
