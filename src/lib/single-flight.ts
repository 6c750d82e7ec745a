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

  #end(tell: Tell<T>) {
    const waiters = this.#waiters.splice(0)
    for (const { cancellation } of waiters) cancellation.unsubscribe()
    if (waiters.length > perTurn) tellInTurns(waiters, tell)
    else for (const waiter of waiters) tell(waiter)
  }
}

type Tell<T> = (waiter: FlightWaiter<T>) => void

/** What follows the end of a flight for hundreds of waiters would keep everything else waiting, in one turn of the event loop. */
const perTurn = 16

/** Each tells the next few waiters of a flight that has ended, and says whether they were the last. */
const ending: (() => boolean)[] = []

function tellInTurns<T>(waiters: readonly FlightWaiter<T>[], tell: Tell<T>) {
  let told = 0
  ending.push(() => {
    for (const waiter of waiters.slice(told, told + perTurn)) {
      const { reason } = waiter.cancellation // it may have left meanwhile
      if (reason) waiter.reject(reason)
      else tell(waiter)
    }
    told += perTurn
    return told >= waiters.length
  })
  if (ending.length === 1) takeTurn()
}

function takeTurn() {
  if (ending[0]?.()) ending.shift()
  if (ending.length > 0) setImmediate(takeTurn)
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
