import { FairQueue } from '../lib/fair-queue.ts'
import { failures, UpstreamError } from './faults.ts'
import type { Operation } from './operations.ts'

/** A moving mean of up to sixteen values; 0 while there was none. */
type Mean = { ms: number; count: number }

/** The fair queue of an account's calls, which also knows how long calls take: ask `canServe` before a call may wait. */
export class Admission extends FairQueue {
  readonly #connections: number
  readonly #timeoutMs: number
  /** How long a call holds its slot. */
  readonly #holdTime: Mean = { ms: 0, count: 0 }
  readonly #holdTimeByCaller = new Map<string, Mean>()
  /** Calls that continue after their deadline. */
  #lateCalls = 0

  constructor({ connections, timeoutMs }: { connections: number; timeoutMs: number }) {
    super(connections, connections)
    this.#connections = connections
    this.#timeoutMs = timeoutMs
  }

  /** Whether a slot is free for the caller, or will be so early that the call can end within its budget. */
  canServe(operation: Operation, caller: string, timeoutMs = this.#timeoutMs): boolean {
    if (this.positionOf(caller) === 0) return true
    return this.admits(caller) && this.#waitMs(caller) + this.minBudgetMs(operation, caller) < timeoutMs
  }

  overloaded({ safe }: Operation, caller: string): UpstreamError {
    return new UpstreamError(failures.overloaded, { safe, retryAfterS: Math.max(1, Math.ceil(this.#waitMs(caller) / 1000)) })
  }

  /**
   * What must be left of the budget for a call that comes out of the queue: a send that leaves with less would end as unknown.
   *
   * As long as this caller's own calls take, so that those of others do not keep it out; a read can do no harm, and may try with half.
   */
  minBudgetMs({ safe }: Operation, caller: string): number {
    return Math.min(this.#holdTimeByCaller.get(caller)?.ms ?? 0, safe ? this.#timeoutMs / 2 : this.#timeoutMs)
  }

  /** Late calls have their own bound, and would make the rest look slow. */
  recordHoldTime(caller: string, heldMs: number) {
    let own = this.#holdTimeByCaller.get(caller)
    if (!own) {
      own = { ms: 0, count: 0 }
      this.#holdTimeByCaller.set(caller, own)
    }
    const ms = Math.min(heldMs, this.#timeoutMs)
    addTo(this.#holdTime, ms)
    addTo(own, ms)
  }

  /** Lets a call continue after its deadline, if less than a quarter of the slots belong to such calls; it counts from now on. */
  startLate(): boolean {
    if (this.#lateCalls >= Math.floor(this.#connections / 4)) return false
    this.#lateCalls++
    return true
  }

  endLate() {
    this.#lateCalls--
  }

  /** How long a call that comes now would wait for a slot, as far as one can tell. */
  #waitMs(caller: string): number {
    return (this.positionOf(caller) * this.#holdTime.ms) / (this.#connections - this.#lateCalls)
  }
}

function addTo(mean: Mean, ms: number) {
  mean.count = Math.min(mean.count + 1, 16)
  mean.ms += (ms - mean.ms) / mean.count
}
