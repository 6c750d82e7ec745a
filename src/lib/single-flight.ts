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
    for (const waiter of this.#waiters.splice(0)) {
      waiter.cancellation.unsubscribe()
      waiter.resolve(value)
    }
  }

  fail(error: unknown) {
    for (const waiter of this.#waiters.splice(0)) {
      waiter.cancellation.unsubscribe()
      waiter.reject(error)
    }
  }
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
