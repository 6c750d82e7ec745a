import { ignoreErrors } from '../lib/repeat.ts'
import type { Problem } from '../problem/problem.ts'
import type { SendAttempt } from '../sends/attempt.ts'
import { type DueSend, type SendRow, type Store, within } from '../store/store.ts'
import type { Sealer } from './seal.ts'

/** What the worker needs of the sends: attempts run, and ends are recorded, as those of a POST. */
export type QueuedSends = {
  owner: string
  /** Runs an attempt and records its end, or queues the send again. */
  attempt(due: DueSend, attempt: SendAttempt): Promise<void>
  /** Ends a send that was not attempted, as `not_sent`. */
  refuse(row: SendRow, problem: 'queue-key-lost' | 'insufficient-scope'): Promise<void>
}

export type WorkerOptions = {
  store: Store
  sealer: Sealer
  sends: QueuedSends
  /** The attempt that takes these parameters to Afilnet; a problem if the caller may not send there any more. */
  prepare: (row: SendRow, params: Record<string, string>) => SendAttempt | Problem['code']
  /** Sends whose key is lost were ended. */
  onKeysLost: (count: number) => void
  now?: () => number
  timeoutMs?: number
  atOnce?: number
}

const longestMs = 500 // another process may have queued something meanwhile
const shortestMs = 5

/** Takes queued sends that are due and runs them, until `stop`. */
export class QueueWorker {
  readonly #options: WorkerOptions
  readonly #now: () => number
  readonly #timeoutMs: number
  readonly #atOnce: number
  #running = 0
  #timer: NodeJS.Timeout | undefined = undefined
  #looking = false
  #again = false
  #isStopped = false
  #keysChecked = false

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#timeoutMs = options.timeoutMs ?? 10_000
    this.#atOnce = options.atOnce ?? 64
  }

  start() {
    this.look()
  }

  /** No further send is taken; those that run are the business of `Sends.idle`. */
  stop() {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** Looks now: something was queued, or has ended. */
  look() {
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    this.#again = true
    if (!this.#looking) void this.#lookOn()
  }

  async #lookOn() {
    this.#looking = true
    let waitMs = longestMs
    while (this.#again && !this.#isStopped) {
      this.#again = false
      waitMs = await this.#takeDue().catch(() => longestMs) // the store reports its own failures
    }
    this.#looking = false
    if (!this.#isStopped) this.#timer = setTimeout(() => this.look(), waitMs).unref()
  }

  /** Takes what is due, and says when to look again. */
  async #takeDue(): Promise<number> {
    const { store, sends } = this.#options
    if (!this.#keysChecked) await this.#endLost()
    const room = this.#atOnce - this.#running
    if (room <= 0) return longestMs
    const { due, nextAt } = await within(this.#timeoutMs, store.takeDue(sends.owner, room))
    for (const one of due) {
      this.#running++
      void ignoreErrors(this.#run(one)).then(() => {
        this.#running--
        this.look()
      })
    }
    if (this.#running >= this.#atOnce) return longestMs
    return nextAt === undefined ? longestMs : Math.min(longestMs, Math.max(shortestMs, nextAt - this.#now()))
  }

  async #run(due: DueSend) {
    const { sealer, sends, prepare } = this.#options
    const { row, sealed } = due
    const text = sealer.open(row.id, sealed)
    if (text === undefined) return sends.refuse(row, 'queue-key-lost')
    const attempt = prepare(row, JSON.parse(text) as Record<string, string>) // as it was sealed
    return typeof attempt === 'string' ? sends.refuse(row, 'insufficient-scope') : sends.attempt(due, attempt)
  }

  /** Nobody can read the bodies of a lost key: their sends end at the start, not when they are due. */
  async #endLost() {
    const { store, sealer, sends, onKeysLost } = this.#options
    let ended = 0
    for (;;) {
      const lost = await within(this.#timeoutMs, store.sealedByOthers(sealer.names))
      for (const row of lost) await sends.refuse(row, 'queue-key-lost')
      ended += lost.length
      if (lost.length === 0) break
    }
    this.#keysChecked = true
    if (ended > 0) onKeysLost(ended)
  }
}
