// Longer than 200 lines, because the order of claim, call and record is what makes a send safe, and is read as one.
import type { KeyObject } from 'node:crypto'
import { type Observe, unobserved } from '../events.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { problemOf } from '../problem/of-upstream.ts'
import { Problem } from '../problem/problem.ts'
import {
  type DueSend,
  type NewSend,
  type Outcome,
  type SendRow,
  type SettledBy,
  type Store,
  StoreUnavailableError,
  within,
} from '../store/store.ts'
import type { SendAttempt } from './attempt.ts'
import { holdLease, type Lease } from './lease.ts'
import { type DescribedSend, describeSend, outcomeOf } from './outcome.ts'
import { createSendReads, type SendReads } from './reads.ts'
import { quotaExceeded, throwUnavailable } from './refusals.ts'
import { isRepeated, ledgerKey, newSend, type SendRequest } from './request.ts'
import { StoreSecret } from './secret.ts'
import { createSettlements, type Settlements } from './settle.ts'

type SendsOptions = {
  store: Store
  base: string
  observe?: Observe
  /** How long a call to the store may take once Afilnet has answered. */
  timeoutMs?: number
  /** How long a call to the store may take before anything was sent. */
  claimMs?: number | undefined
  now?: () => number
  heartbeatMs?: number
}

// A disk that hangs must not hold a caller for longer than two seconds before anything was sent.
const usualClaimMs = 1_800
const stopMs = 1_000

const firstRetryMs = 1_000
const longestRetryMs = 60_000

/** What a POST gets: `status` is 202 while the send waits, and 200 if it never went. */
type SendResult = { send: DescribedSend; status: 200 | 201 | 202; replayed: boolean }

const statusOf = (state: SendRow['state']): SendResult['status'] =>
  state === 'queued' || state === 'pending' ? 202 : state === 'expired' || state === 'canceled' ? 200 : 201

/** Idempotent sends: each is recorded before its first byte leaves, and its outcome before the caller gets it. */
export class Sends {
  readonly #store: Store
  readonly #base: string
  readonly #observe: Observe
  readonly #timeoutMs: number
  readonly #now: () => number
  readonly #lease: Lease
  readonly #claimMs: number
  readonly secret: StoreSecret
  readonly find: SendReads['find']
  readonly list: SendReads['list']
  readonly settle: Settlements['settle']
  readonly cancel: Settlements['cancel']
  #running = 0
  #onIdle: (() => void)[] = []

  constructor({
    store,
    base,
    observe = unobserved,
    timeoutMs = 10_000,
    claimMs = usualClaimMs,
    now = Date.now,
    heartbeatMs = 1_000,
  }: SendsOptions) {
    this.#store = store
    this.#base = base
    this.#observe = observe
    this.#timeoutMs = timeoutMs
    this.#claimMs = Math.min(timeoutMs, claimMs)
    this.#now = now
    this.secret = new StoreSecret(store, this.#claimMs)
    ;({ find: this.find, list: this.list } = createSendReads({ store, base, timeoutMs }))
    ;({ settle: this.settle, cancel: this.cancel } = createSettlements({ store, base, timeoutMs, now, observe }))
    this.#lease = holdLease(store, {
      timeoutMs,
      heartbeatMs,
      now,
      onHeartbeat: bytes => observe('ledgerMeasured', { bytes }),
      onExpired: count => observe('sendsInterrupted', { count }),
    })
  }

  /**
   * Sends, or replays the result of an earlier request with the same key.
   *
   * Throws what `admit` throws, and these problems, which carry the send's id where there is one: `idempotency-key-in-use`,
   * `idempotency-key-reused`, `send-quota-exceeded`, `store-unavailable`, `ledger-changed`, the problem of a send that failed (now, or recorded earlier;
   * `send-interrupted` if its process died), and `internal-error` if the outcome could not be recorded, or if the ledger may
   * have queued the send.
   */
  async run(request: SendRequest): Promise<SendResult> {
    this.#running++
    try {
      try {
        if (!request.queue) request.attempt.admit()
      } catch (refusal) {
        return await this.#replayHeld(request, refusal)
      }
      const startedAt = performance.now()
      const { version } = this.secret
      const secret = await this.secret.read()
      const row = newSend(request, { secret, owner: this.#lease.owner, now: this.#now })
      const existing = await this.#claim(row, request, Math.max(1, this.#claimMs - (performance.now() - startedAt)))
      if (version !== this.secret.version) throw this.#unclaim(row, request, existing)
      if (existing) return this.#replay(existing, request, secret)
      return request.queue ? this.#queued(row) : await this.#send(row, request)
    } finally {
      this.#ended()
    }
  }

  /** What the queue needs: its attempts run, and end, as those of a POST. */
  readonly queue = {
    owner: () => this.#lease.owner,
    isUnrecorded: (id: string) => this.#lease.isUnrecorded(id),
    isWithdrawn: (id: string) => this.#lease.isWithdrawn(id),
    attempt: (due: DueSend, attempt: SendAttempt) => this.#attemptQueued(due, attempt),
    requeue: (row: SendRow, nextAt: number, attempts: number) => this.#lease.requeue(row, nextAt, attempts),
    refuse: (row: SendRow, code: ProblemCode) => this.#refuseQueued(row, code),
    /** Called when a send was queued. */
    onQueued: () => {},
  }

  /** Resolves once no send runs, those of callers that have hung up included. */
  async idle(): Promise<void> {
    if (this.#running > 0) await new Promise<void>(resolve => this.#onIdle.push(resolve))
  }

  /** Ends the lease of this process within a second: sends that are still pending become `unknown`. */
  async stop(): Promise<void> {
    // A store that hangs must not hold up the end: pending sends become `unknown` when the lease expires.
    await within(
      stopMs,
      this.idle().then(() => this.#lease.end()),
    ).catch(() => {})
  }

  #ended() {
    this.#running--
    if (this.#running > 0) return
    for (const resolve of this.#onIdle) resolve()
    this.#onIdle = []
  }

  /** Takes the key for this row, or returns the row that holds it. */
  async #claim(row: NewSend, { requestId, sendsPerDay, queue }: SendRequest, timeoutMs: number): Promise<SendRow | undefined> {
    const claiming = this.#store.claim(row, sendsPerDay, queue?.seal(row.id))
    try {
      const claim = await within(timeoutMs, claiming)
      if (claim.claimed) return undefined
      if (claim.existing) return claim.existing
    } catch (error) {
      if (error instanceof StoreUnavailableError && (error.cause === 'limit' || error.cause === 'changed')) return throwUnavailable(error)
      this.secret.forget()
      // A claim that was refused may have reached the store, or may still do so; it must not hold its key.
      const release = () =>
        this.#lease.retryLater(row, this.#outcomeOf(new Problem('store-unavailable'), row, requestId), queue !== undefined)
      release()
      claiming.then(release, () => {})
      if (queue && error instanceof StoreUnavailableError && error.mayHaveEffect) throw this.#mayBeQueued(row, error)
      return throwUnavailable(error)
    }
    throw quotaExceeded(sendsPerDay ?? 0, row.createdAt)
  }

  /** The ledger was replaced between secret and claim, so a fingerprint of the one secret would be compared with the other. */
  #unclaim(row: NewSend, { requestId, queue }: SendRequest, existing: SendRow | undefined): Problem {
    const problem = new Problem('store-unavailable')
    if (!existing) this.#lease.retryLater(row, this.#outcomeOf(problem, row, requestId), queue !== undefined)
    return queue && !existing ? this.#mayBeQueued(row) : problem
  }

  /** Until this process takes it back, another one may run it, or this one after a restart. */
  #mayBeQueued(row: NewSend, cause?: Error): Problem {
    return this.#unrecorded('The ledger did not say whether the send is queued: it may be sent, or be taken back.', row, cause)
  }

  #unrecorded(detail: string, { id, idempotencyKey }: NewSend, cause: unknown): Problem {
    return new Problem('internal-error', { outcome: 'unknown', detail, sendId: id, keyed: idempotencyKey !== undefined, cause })
  }

  /** Calls Afilnet; what went wrong, if something did. */
  async #attempt(row: NewSend, requestId: string, attempt: SendAttempt): Promise<Problem | undefined> {
    try {
      if (row.dueAt !== undefined) attempt.admit()
      await attempt.run(error => this.#settleLate(row, requestId, error))
      return undefined
    } catch (error) {
      return problemOf(error)
    }
  }

  /** Calls Afilnet and records the outcome. */
  async #send(row: NewSend, { attempt, requestId }: SendRequest): Promise<SendResult> {
    const problem = await this.#attempt(row, requestId, attempt)
    const outcome = this.#outcomeOf(problem, row, requestId, 'answer')
    let settled: SendRow
    try {
      settled = await this.#settle(row, outcome)
    } catch (cause) {
      // `not_sent` is true with or without the ledger. Any other outcome must be recorded before a caller may rely on it.
      if (outcome.state !== 'not_sent')
        throw this.#unrecorded('Afilnet was asked to send it, and the ledger did not record in time how that ended.', row, cause)
      settled = { ...row, ...outcome }
    }
    // The ledger may know better: a late answer came first, or other processes took this one for dead.
    const send = describeSend(settled, this.#base)
    if (send.problem) throw new Problem(send.problem.code, { ...problem?.details, recorded: send.problem })
    return { send, status: 201, replayed: false }
  }

  /** Records an outcome and returns the row as the ledger has it. */
  async #settle(row: NewSend, outcome: Outcome): Promise<SendRow> {
    this.#observe('sendSettled', { account: row.account, kind: row.kind, state: outcome.state })
    try {
      const settled = await within(this.#timeoutMs, this.#store.settle(row, outcome))
      if (!settled.settled && !settled.row) this.#lease.retryLater(row, outcome) // the ledger was replaced meanwhile
      return settled.row ?? { ...row, ...outcome }
    } catch (error) {
      this.#lease.retryLater(row, outcome)
      throw error
    }
  }

  /** A late answer settles an `unknown` send, if it proves that Afilnet accepted or refused the message. */
  #settleLate(row: NewSend, requestId: string, error: unknown) {
    const outcome = this.#outcomeOf(error === undefined ? undefined : problemOf(error), row, requestId, 'late-answer')
    if (outcome.state !== 'accepted' && outcome.state !== 'rejected') return
    this.#running++
    void this.#settle(row, { ...outcome, late: true })
      .catch(() => {})
      .finally(() => this.#ended())
  }

  /** The stored result of the request's key while Afilnet cannot be called; throws the refusal if there is none. */
  async #replayHeld(request: SendRequest, refusal: unknown) {
    if (request.idempotencyKey === undefined) throw refusal
    const idempotencyKey = ledgerKey(request.idempotencyKey, request.actor, request)
    const rows = await within(this.#timeoutMs, this.#store.list(request, { idempotencyKey, limit: 100 })).catch(throwUnavailable)
    const holder = rows.find(({ state }) => state !== 'not_sent') // others may come first, since clocks of gateways differ
    if (!holder) throw refusal
    return this.#replay(holder, request, await this.secret.read())
  }

  /** The answer to a key that is taken. */
  #replay(existing: SendRow, request: SendRequest, secret: KeyObject) {
    const sendId = existing.id
    if (!isRepeated(existing, request, secret)) throw new Problem('idempotency-key-reused', { sendId })
    const status = statusOf(existing.state)
    const isWithdrawn = status === 202 && this.#lease.isWithdrawn(sendId)
    if ((existing.state === 'pending' && existing.dueAt === undefined) || isWithdrawn)
      throw new Problem('idempotency-key-in-use', { sendId, outcome: 'unknown' })
    this.#observe('sendReplayed', { account: existing.account })
    request.attempt.onReplay?.()
    const send = describeSend(existing, this.#base)
    if (send.problem && status === 201)
      throw new Problem(send.problem.code, { recorded: send.problem, headers: { 'idempotency-replayed': 'true' } })
    return { send, status, replayed: true }
  }

  #queued(row: NewSend): SendResult {
    this.queue.onQueued()
    return { send: describeSend({ ...row, state: 'queued' }, this.#base), status: 202, replayed: false }
  }

  /** Runs a queued send that is due. Only where provably nothing happened, and a repetition is of use, does it wait again. */
  async #attemptQueued({ row, attempts }: DueSend, attempt: SendAttempt): Promise<void> {
    this.#running++
    try {
      const problem = await this.#attempt(row, row.id, attempt)
      if (problem?.outcome === 'not_applied' && problem.retry === 'yes') {
        const waitMs = Math.max(Math.min(longestRetryMs, firstRetryMs * 2 ** (attempts - 1)), 1_000 * (problem.details.retryAfterS ?? 0))
        await this.#lease.requeue(row, this.#now() + waitMs, attempts)
      } else {
        await this.#settle(row, { ...this.#outcomeOf(problem, row, row.id, 'answer'), late: true })
      }
    } finally {
      this.#ended()
    }
  }

  /** Ends a send of the queue that must not be attempted; it may be queued still. */
  async #refuseQueued(row: SendRow, code: ProblemCode): Promise<void> {
    const outcome: Outcome = { ...this.#outcomeOf(new Problem(code), row, row.id), state: 'not_sent', late: true }
    if (row.state !== 'queued') return void (await this.#settle(row, outcome))
    const { settled } = await within(this.#timeoutMs, this.#store.unqueue(row, outcome))
    if (settled) this.#observe('sendSettled', { account: row.account, kind: row.kind, state: outcome.state })
  }

  /** Without a problem Afilnet accepted the send; without `settledBy`, the gateway has ended one that was not attempted. */
  #outcomeOf(problem: Problem | undefined, row: NewSend, requestId: string, settledBy?: SettledBy): Outcome {
    // A clock that was set back meanwhile must not make a send look older than it is.
    const settledAt = Math.max(row.createdAt, this.#now())
    return outcomeOf(problem, row, { base: this.#base, requestId, settledAt, settledBy })
  }
}
