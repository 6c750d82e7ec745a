/** Something that asks for a slot. */
export type Waiter = {
  readonly caller: string
  /** Belongs to the queue; `none` at first. */
  position: 'none' | 'waiting' | 'acquired'
  /** Called as soon as there is a slot, at once if one is free. */
  onAcquired(): void
  /** Called instead if a caller that has less needs the place in the queue. */
  onEvicted(): void
}

/** What one caller has. It outlives the requests of the caller, whose waiters leave its array as soon as they are served. */
type Share = { acquired: number; readonly waiting: Waiter[] }

const total = ({ acquired, waiting }: Share) => acquired + waiting.length

/**
 * A bounded number of slots with a bounded queue in front, shared fairly among callers.
 *
 * A free slot goes to the waiting caller that holds the fewest, so while several wait, none gets beyond an equal share. A caller that is
 * alone may take all.
 */
export class FairQueue {
  readonly #capacity: number
  readonly #maxWaiting: number
  readonly #shares = new Map<string, Share>()
  /** Callers that wait; of those that hold equally many, the one comes first that was served longest ago. */
  readonly #waiting: Share[] = []
  #acquiredCount = 0
  #waitingCount = 0

  constructor(capacity: number, maxWaiting: number) {
    this.#capacity = capacity
    this.#maxWaiting = maxWaiting
  }

  load() {
    return { inFlight: this.#acquiredCount, queued: this.#waitingCount }
  }

  /** How many slots must come free, at most, before a waiter of this caller that comes now gets one; 0 if one is free. */
  positionOf(caller: string): number {
    if (this.#acquiredCount < this.#capacity) return 0
    const own = this.#shareOf(caller).waiting.length
    let position = 1
    for (const { waiting } of this.#waiting) position += Math.min(waiting.length, own + 1) // callers take turns
    return position
  }

  /** Whether `acquire` would let a waiter of this caller in. */
  admits(caller: string): boolean {
    if (this.#acquiredCount < this.#capacity) return true
    const own = this.#shareOf(caller).waiting.length
    const withinHalf = own === 0 || (own + 1) * 2 <= this.#maxWaiting
    if (this.#waitingCount < this.#maxWaiting) return own === this.#waitingCount || withinHalf
    return this.#waitingCount > 0 && withinHalf && this.#largestAgainst(caller) !== undefined
  }

  /** Takes a slot or a place in the queue; `false` if the caller may not even wait. */
  acquire(waiter: Waiter): boolean {
    const share = this.#shareOf(waiter.caller)
    if (this.#acquiredCount < this.#capacity) {
      this.#acquiredCount++
      this.#grant(share, waiter)
      return true
    }
    if (!this.admits(waiter.caller)) return false
    const largest = this.#waitingCount >= this.#maxWaiting ? this.#largestAgainst(waiter.caller) : undefined
    const evicted = largest?.waiting.at(-1)
    if (evicted) this.#dequeue(evicted)
    if (share.waiting.push(waiter) === 1) this.#waiting.push(share)
    waiter.position = 'waiting'
    this.#waitingCount++
    evicted?.onEvicted()
    return true
  }

  /** Gives the slot or the place in the queue back; the next waiter is called before this returns. */
  release(waiter: Waiter) {
    if (waiter.position === 'waiting') return this.#dequeue(waiter)
    if (waiter.position === 'none') return
    waiter.position = 'none'
    this.#shareOf(waiter.caller).acquired--
    if (this.#waitingCount === 0) this.#acquiredCount--
    else this.#grantNext()
  }

  #shareOf(caller: string): Share {
    let share = this.#shares.get(caller)
    if (!share) {
      share = { acquired: 0, waiting: [] }
      this.#shares.set(caller, share)
    }
    return share
  }

  #grant(share: Share, waiter: Waiter) {
    share.acquired++
    waiter.position = 'acquired'
    waiter.onAcquired()
  }

  #grantNext() {
    const next = this.#waiting.reduce((a, b) => (b.acquired < a.acquired ? b : a))
    const [waiter] = next.waiting
    if (!waiter) return
    this.#dequeue(waiter)
    if (next.waiting.length > 0) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.#waiting.push(next)
    }
    this.#grant(next, waiter)
  }

  #dequeue(waiter: Waiter) {
    const share = this.#shareOf(waiter.caller)
    share.waiting.splice(share.waiting.indexOf(waiter), 1)
    if (share.waiting.length === 0) this.#waiting.splice(this.#waiting.indexOf(share), 1)
    waiter.position = 'none'
    this.#waitingCount--
  }

  /** The waiting caller whose last waiter would make room for one of this caller, if that is fair. */
  #largestAgainst(caller: string): Share | undefined {
    const largest = this.#waiting.reduce((a, b) => (total(b) > total(a) ? b : a))
    return total(largest) > total(this.#shareOf(caller)) + 1 ? largest : undefined
  }
}
