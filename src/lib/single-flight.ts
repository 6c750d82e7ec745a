import type { CancelListener, Cancellation } from './cancellation.ts'

/** Waits for the result of a flight. Exactly one of `succeed` and `fail` is called, once. */
export type FlightWaiter<T> = CancelListener & {
  readonly cancellation: Cancellation
  succeed(value: T): void
  fail(error: unknown): void
}

/** One piece of work that several wait for. */
export abstract class Flight<T> {
  readonly #waiters: FlightWaiter<T>[] = []

  /** Called when the last waiter has left. */
  protected abstract abandon(reason: Error): void

  /** The waiter gets the result, unless it leaves before. */
  join(waiter: FlightWaiter<T>) {
    waiter.cancellation.listener = waiter
    this.#waiters.push(waiter)
  }

  leave(waiter: FlightWaiter<T>, reason: Error) {
    const at = this.#waiters.indexOf(waiter)
    if (at < 0) return // the flight has ended, and the result comes with the next batch
    this.#waiters.splice(at, 1)
    waiter.cancellation.listener = undefined
    waiter.fail(reason)
    if (this.#waiters.length === 0) this.abandon(reason)
  }

  succeed(value: T) {
    this.#end(waiter => waiter.succeed(value))
  }

  fail(error: unknown) {
    this.#end(waiter => waiter.fail(error))
  }

  #end(settle: Settle<T>) {
    const waiters = this.#waiters.splice(0)
    for (const { cancellation } of waiters) cancellation.listener = undefined
    if (waiters.length > batchSize) settleInBatches(waiters, settle)
    else for (const waiter of waiters) settle(waiter)
  }
}

type Settle<T> = (waiter: FlightWaiter<T>) => void

/**
 * Waiters settled in one turn of the event loop: hundreds of answers in one turn would delay every other request.
 *
 * With fewer, callers that poll ask again before the last of them has its answer, and so share fewer calls.
 */
const batchSize = 64

/** Each settles the next batch of a flight that has ended, and returns whether it was the last one. */
const batches: (() => boolean)[] = []

function settleInBatches<T>(waiters: readonly FlightWaiter<T>[], settle: Settle<T>) {
  let settled = 0
  batches.push(() => {
    for (const waiter of waiters.slice(settled, settled + batchSize)) {
      const { reason } = waiter.cancellation // its caller may have left since
      if (reason) waiter.fail(reason)
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
