import { refused, type SendAttempt } from '../sends/attempt.ts'
import { type DueSend, type SendRow, type Store, within } from '../store/store.ts'
import type { Sealer } from './seal.ts'

/** What the worker needs of the sends: attempts run, and ends are recorded, as those of a POST. */
type QueuedSends = {
  owner(): string
  /** Whether the end of an attempt is not in the store yet. */
  isUnrecorded(id: string): boolean
  /** Whether a send is about to be taken back: the answer to its caller said that nothing is sent. */
  isWithdrawn(id: string): boolean
  /** Runs an attempt and records its end, or queues the send again. */
  attempt(due: DueSend, attempt: SendAttempt): Promise<void>
  /** Queues a send again after this attempt, now or as soon as the store takes it. */
  requeue(row: SendRow, nextAt: number, attempts: number): Promise<void>
  /** Ends a send that was not attempted, as `not_sent`. */
  refuse(row: SendRow, problem: 'queue-key-lost' | 'insufficient-scope'): Promise<void>
}

type Prepare = (row: SendRow, params: Record<string, string>) => SendAttempt | 'insufficient-scope' | 'leave'

type WorkerOptions = {
  store: Store
  sealer: Sealer
  sends: QueuedSends
  /** The attempt that takes these parameters to Afilnet; a problem if the caller may not send there any more, `leave` if only other gateways can say. */
  prepare: Prepare
  /** Sends whose key is lost were ended. */
  onKeysLost: (count: number) => void
  /** Sends were too late. */
  onExpired: (sends: readonly Pick<SendRow, 'account' | 'kind'>[]) => void
  timeoutMs?: number
}

const places = 128 // attempts at one time; an account may hold as many as are free, so one alone gets half
const longestMs = 500 // another process may have queued something meanwhile
const shortestMs = 5
const leaveMs = 2_000

/** From when until when the store was asked for what is due, in vain. `isOver`: it has answered since, and gives nothing more for that. */
type LostAnswer = { since: number; until: number; isOver: boolean }

/** Takes queued sends that are due and runs them, from the first `wake` until `stop`. */
export class QueueWorker {
  readonly #options: WorkerOptions
  readonly #timeoutMs: number
  /** How many places each account holds. */
  readonly #running = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined = undefined
  #work = Promise.resolve()
  #working = false
  #again = false
  #isStopped = false
  #keysChecked = false
  /** Attempts that run here, by id and number. */
  readonly #given = new Set<string>()
  /** Answers of the store that were lost: it may have given attempts to this process that never arrived. */
  #lost: LostAnswer[] = []

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? 10_000
  }

  /** No further send is taken; those that run are the business of `Sends.idle`. Resolves once the store gives none any more. */
  stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    return this.#work
  }

  /** Takes what is due now: something was queued, or has ended. */
  wake() {
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    this.#again = true
    if (!this.#working) this.#work = this.#takeAll()
  }

  async #takeAll() {
    this.#working = true
    let waitMs = longestMs
    while (this.#again && !this.#isStopped) {
      this.#again = false
      waitMs = await this.#takeDue().catch(() => longestMs) // the store reports its own failures
    }
    this.#working = false
    if (!this.#isStopped) this.#timer = setTimeout(() => this.wake(), waitMs).unref()
  }

  /** Takes what is due, and says when to wake again. */
  async #takeDue(): Promise<number> {
    const { store, sends } = this.#options
    if (!this.#keysChecked) await this.#endLost()
    if (this.#lost.length > 0) await this.#putBackLost()
    const askedAt = Date.now()
    const taking = store.takeDue(sends.owner(), places, new Map(this.#running))
    const { due, expired, nextAt } = await within(this.#timeoutMs, taking).catch(error => {
      const lose = () => this.#lose(askedAt)
      lose()
      taking.then(lose, () => {}) // too late to be waited for
      throw error
    })
    for (const lost of this.#lost) lost.isOver = true
    if (expired.length > 0) this.#options.onExpired(expired)
    for (const one of due) this.#begin(one)
    return nextAt === undefined ? longestMs : Math.min(longestMs, Math.max(shortestMs, nextAt - Date.now()))
  }

  #begin(due: DueSend) {
    const name = nameOf(due)
    const { account } = due.row
    this.#count(account, 1)
    this.#given.add(name)
    const end = () => {
      this.#given.delete(name)
      this.#count(account, -1)
      this.wake()
    }
    this.#run(due).then(end, end)
  }

  #count(account: string, change: number) {
    const held = (this.#running.get(account) ?? 0) + change
    if (held > 0) this.#running.set(account, held)
    else this.#running.delete(account)
  }

  #lose(since: number) {
    const last = this.#lost.at(-1)
    if (last && !last.isOver) last.until = Date.now()
    else this.#lost.push({ since, until: Date.now(), isOver: false })
  }

  /**
   * Queues again what the store gave to this process and never arrived here: nothing of it has left. A disk that hangs may give it only later.
   *
   * What began at another time has arrived. If it is still pending, its end was recorded on a server that has failed since.
   */
  async #putBackLost() {
    const { store, sends } = this.#options
    let mayLack = false
    for (const one of await within(this.#timeoutMs, store.pendingOf(sends.owner()))) {
      const { startedAt = 0 } = one.row
      const isLost = this.#lost.some(({ since, until }) => since <= startedAt && startedAt <= until)
      if (one.attempts === 0 || this.#given.has(nameOf(one)) || !isLost) continue
      // What this process has yet to record may be of an earlier attempt: it looks again afterwards.
      if (sends.isUnrecorded(one.row.id)) mayLack = true
      else await within(this.#timeoutMs, store.requeue(one.row, Date.now(), one.attempts))
    }
    if (!mayLack) this.#lost = this.#lost.filter(({ isOver }) => !isOver)
  }

  async #run(due: DueSend) {
    const { sealer, sends } = this.#options
    const { row, sealed, attempts } = due
    const isLate = row.expiresAt !== undefined && row.expiresAt <= Date.now() // the store may have taken long to answer
    const leave = () => sends.requeue(row, Date.now() + leaveMs, attempts)
    if (isLate || sends.isWithdrawn(row.id) || !sealer.knows(sealed)) return leave()
    const text = sealer.open(row.id, sealed)
    if (text === undefined) return sends.refuse(row, 'queue-key-lost')
    const attempt = this.#prepared(row, text)
    if (attempt === 'leave') return leave()
    return attempt === 'insufficient-scope' ? sends.refuse(row, attempt) : sends.attempt(due, attempt)
  }

  /** An attempt that cannot be made, since another transport cannot carry it, ends as one that was refused. */
  #prepared(row: SendRow, text: string): ReturnType<Prepare> {
    try {
      return this.#options.prepare(row, JSON.parse(text) as Record<string, string>) // as it was sealed
    } catch (error) {
      return refused(error)
    }
  }

  async #endLost() {
    const { store, sealer, sends, onKeysLost } = this.#options
    const ended = await endLostSends({ store, sends, keys: sealer.names, timeoutMs: this.#timeoutMs })
    this.#keysChecked = true
    if (ended > 0) onKeysLost(ended)
  }
}

const nameOf = ({ row, attempts }: Omit<DueSend, 'sealed'>) => `${row.id} ${attempts}`

type Lost = { store: Store; sends: Pick<QueuedSends, 'refuse'>; keys: readonly string[]; timeoutMs: number }

/** Ends the sends whose key is lost, at the start and not only when they are due: their bodies cannot be read. Returns how many. */
export async function endLostSends({ store, sends, keys, timeoutMs }: Lost): Promise<number> {
  for (let ended = 0; ; ) {
    const lost = await within(timeoutMs, store.sealedByOthers(keys))
    if (lost.length === 0) return ended
    for (const row of lost) await sends.refuse(row, 'queue-key-lost')
    ended += lost.length
  }
}
