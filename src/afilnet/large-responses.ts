import type { Dispatcher } from 'undici'
import { FairQueue, type Waiter } from '../lib/fair-queue.ts'

/** Who may hold a response larger than its even share: a response needs a slot of each queue, in this order. */
export type LargeResponseSlots = readonly FairQueue[]

/** At most seven responses grow beyond an even share of one full response: eight full responses in memory, and no deadlock. */
export const createLargeResponseSlots = (): LargeResponseSlots => [new FairQueue(7, Number.POSITIVE_INFINITY)]

/** The part of one of several accounts: if its responses never end, some room is left for those of the others. */
export const shareLargeResponseSlots = (all: LargeResponseSlots): LargeResponseSlots => [new FairQueue(4, Number.POSITIVE_INFINITY), ...all]

/** A response beyond its even share. It does not flow until it has all its slots. */
export class LargeResponse {
  readonly #slots: LargeResponseSlots
  readonly #caller: string
  readonly #flow: Dispatcher.DispatchController
  readonly #held: Waiter[] = []
  mayFlow = false

  constructor(slots: LargeResponseSlots, caller: string, flow: Dispatcher.DispatchController) {
    this.#slots = slots
    this.#caller = caller
    this.#flow = flow
    this.#acquireNext()
    if (!this.mayFlow) flow.pause()
  }

  release() {
    for (const [i, waiter] of this.#held.entries()) this.#slots[i]?.release(waiter)
  }

  #acquireNext() {
    const queue = this.#slots[this.#held.length]
    if (queue) {
      const waiter: Waiter = { caller: this.#caller, position: 'none', onAcquired: () => this.#acquireNext(), onEvicted() {} }
      this.#held.push(waiter)
      queue.acquire(waiter)
      return
    }
    this.mayFlow = true
    queueMicrotask(() => this.#flow.resume()) // not inside undici's callback for the response that made room
  }
}
