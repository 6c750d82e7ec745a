import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import { type Observe, unobserved } from '../events.ts'
import { limitHeaders } from '../lib/ratelimit-headers.ts'
import { problemOf } from '../problem/of-upstream.ts'
import { Problem } from '../problem/problem.ts'
import { type NewSend, type Outcome, type SendFilter, type SendRow, type Store, StoreUnavailableError, within } from '../store/store.ts'
import type { SendAttempt } from './attempt.ts'
import { holdLease } from './lease.ts'
import { accepted, describeSend, outcomeOf, type Send } from './outcome.ts'

/** What is to be sent, by whom, and how it gets to Afilnet. */
export type SendRequest = Pick<NewSend, 'caller' | 'account' | 'user' | 'kind' | 'platform' | 'platformId' | 'destination'> & {
  reference?: string | undefined
  idempotencyKey?: string | undefined
  /** How many sends the caller has in a day of UTC. */
  sendsPerDay?: number | undefined
  /** The validated body; only its HMAC is kept. */
  body: Record<string, unknown>
  requestId: string
  attempt: SendAttempt
}

export type SendFilters = Omit<SendFilter, 'before'> & { cursor?: string }

/** The truth about every send: written down before the first byte leaves and before the caller hears of its end. */
export type Sends = {
  /** Sends, or tells how an earlier request with the same key ended; throws a `Problem` that carries the send's id. */
  run(request: SendRequest): Promise<{ send: Send; replayed: boolean }>
  find(caller: string, id: string): Promise<Send>
  list(caller: string, filters: SendFilters): Promise<{ items: Send[]; nextCursor?: string }>
  /** To be told when the store was lost: another one may be in its place when it is back. */
  storeLost(): void
  /** Resolves once no send runs, those of callers that have hung up included. */
  idle(): Promise<void>
  /** Ends the lease of this process: what it could not finish becomes `unknown`. */
  stop(): Promise<void>
}

type SendsOptions = {
  store: Store
  base: string
  observe?: Observe
  /** How long a verb of the store is waited for, before and after the call to Afilnet. */
  timeoutMs?: number
  now?: () => number
  beatMs?: number
}

const stopMs = 1_000

export function createSends({
  store,
  base,
  observe = unobserved,
  timeoutMs = 10_000,
  now = Date.now,
  beatMs = 2_000,
}: SendsOptions): Sends {
  const lease = holdLease(store, { timeoutMs, beatMs, reaped: count => observe('sendsInterrupted', { count }) })
  const running = new Set<Promise<unknown>>()
  let secret: Promise<KeyObject> | undefined

  function track<T>(work: Promise<T>): Promise<T> {
    running.add(work)
    const done = () => void running.delete(work)
    work.then(done, done)
    return work
  }

  async function fingerprintOf({ kind, platform, platformId, destination, body }: SendRequest) {
    const members = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1))
    const canonical = JSON.stringify([kind, platform, platformId, destination, members])
    secret ??= within(timeoutMs, store.secret()).then(createSecretKey)
    return createHmac('sha256', await secret)
      .update(canonical)
      .digest('base64url')
  }

  const ending = (problem: Problem, row: NewSend, requestId: string) => outcomeOf(problem, row, { base, requestId, settledAt: now() })

  async function claim(request: SendRequest) {
    const { caller, account, user, kind, platform, platformId, destination, reference, idempotencyKey, requestId, sendsPerDay } = request
    const fingerprint = await fingerprintOf(request).catch(lost)
    const row: NewSend = {
      id: uuid(),
      caller,
      account,
      user,
      kind,
      platform,
      platformId,
      destination,
      ...(reference !== undefined && { reference }),
      ...(idempotencyKey !== undefined && { idempotencyKey }),
      fingerprint,
      owner: lease.owner,
      createdAt: now(),
    }
    const claiming = store.claim(row, sendsPerDay)
    const taken = await within(timeoutMs, claiming).catch(error => {
      // A claim that was refused may have got through all the same, or may yet do so; it must not hold its key.
      const disown = () => lease.owe(row.id, ending(new Problem('store-unavailable'), row, requestId))
      if (error.cause !== 'limit') disown()
      claiming.then(disown, () => {})
      return lost(error)
    })
    if (!taken.claimed && !taken.existing) throw quotaExceeded(sendsPerDay ?? 0, row.createdAt)
    return { row, existing: taken.claimed ? undefined : taken.existing }
  }

  /** The secret belongs to the store, and another one may be in its place when it is back. */
  function lost(error: unknown): never {
    secret = undefined
    return unavailable(error)
  }

  /** The row that holds the request's key; of those that were not sent some may come first, since clocks of gateways differ. */
  async function holderOf({ caller, idempotencyKey }: SendRequest) {
    if (idempotencyKey === undefined) return undefined
    const rows = await within(timeoutMs, store.list(caller, { idempotencyKey, limit: 100 })).catch(unavailable)
    return rows.find(({ state }) => state !== 'not_sent')
  }

  /** The answer to a key that is taken. */
  function replay(existing: SendRow, fingerprint: string) {
    if (existing.fingerprint !== fingerprint) throw new Problem('idempotency-key-reused', { sendId: existing.id })
    if (existing.state === 'pending') throw new Problem('idempotency-key-in-use', { sendId: existing.id, outcome: 'unknown' })
    observe('sendReplayed', { account: existing.account })
    const send = describeSend(existing, base)
    if (send.problem) throw new Problem(send.problem.code, { recorded: send.problem, headers: { 'idempotency-replayed': 'true' } })
    return { send, replayed: true }
  }

  /** A late answer settles what is unknown, if it proves that the message was taken or refused. */
  function settleLate(row: NewSend, requestId: string, error: unknown) {
    const outcome = error === undefined ? accepted(now()) : ending(problemOf(error), row, requestId)
    if (outcome.state === 'accepted' || outcome.state === 'rejected') track(settle(row, outcome).catch(() => {}))
  }

  /** Writes the end of a send down, and returns the row as the ledger has it. What it cannot take now is owed. */
  async function settle(row: NewSend, outcome: Outcome): Promise<SendRow> {
    observe('sendSettled', { account: row.account, kind: row.kind, state: outcome.state })
    const settled = await within(timeoutMs, store.settle(row.id, outcome)).catch(error => {
      lease.owe(row.id, outcome)
      throw error
    })
    return settled.row ?? { ...row, ...outcome }
  }

  async function run(request: SendRequest) {
    try {
      request.attempt.admit()
    } catch (refused) {
      // What became of an earlier request is told even while Afilnet is not to be asked.
      const holder = await holderOf(request)
      if (!holder) throw refused
      return replay(holder, await fingerprintOf(request).catch(lost))
    }
    const { row, existing } = await claim(request)
    if (existing) return replay(existing, row.fingerprint)

    const { requestId } = request
    const failed = await request.attempt.run(error => settleLate(row, requestId, error)).then(() => undefined, problemOf)
    const outcome = failed ? ending(failed, row, requestId) : accepted(now())
    const told = await settle(row, outcome).catch(cause => {
      // What is not written down may not be told as settled; that nothing happened is true with or without the ledger.
      if (outcome.state === 'not_sent') return { ...row, ...outcome }
      throw new Problem('internal-error', { outcome: 'unknown', sendId: row.id, keyed: row.idempotencyKey !== undefined, cause })
    })
    // Not always the outcome above: a late answer may have been first, or others took this process for dead.
    const send = describeSend(told, base)
    if (send.problem) throw new Problem(send.problem.code, { ...failed?.details, recorded: send.problem })
    return { send, replayed: false }
  }

  return {
    run: request => track(run(request)),

    async find(caller, id) {
      const row = await within(timeoutMs, store.find(caller, id)).catch(unavailable)
      if (!row) throw new Problem('send-not-found')
      return describeSend(row, base)
    },

    async list(caller, { cursor, limit, ...filters }) {
      const before = cursor === undefined ? undefined : idOf(cursor)
      const page = store.list(caller, { ...filters, limit: limit + 1, ...(before !== undefined && { before }) })
      const rows = await within(timeoutMs, page).catch(unavailable)
      const items = rows.slice(0, limit)
      const last = items.at(-1)
      return { items: items.map(row => describeSend(row, base)), ...(rows.length > limit && last && { nextCursor: cursorOf(last.id) }) }
    },

    storeLost() {
      secret = undefined
    },

    async idle() {
      while (running.size > 0) await Promise.allSettled(running)
    },

    async stop() {
      // A store that hangs must not hold up the end: what is not written down becomes `unknown` when the lease runs out.
      await within(stopMs, this.idle().then(lease.end)).catch(() => {})
    },
  }
}

function unavailable(error: unknown): never {
  throw error instanceof StoreUnavailableError ? new Problem('store-unavailable') : error
}

/** The day of UTC is over when the next one begins. */
function quotaExceeded(quota: number, at: number) {
  const windowS = 86_400
  const resetS = windowS - Math.floor((at / 1000) % windowS)
  return new Problem('send-quota-exceeded', {
    retryAfterS: resetS,
    headers: limitHeaders({ name: 'sends', quota, windowS, remaining: 0, resetS }),
  })
}

const cursorOf = (id: string) => Buffer.from(id).toString('base64url')

function idOf(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw new Problem('invalid-request', { detail: 'cursor is not one that this gateway gave' })
  return id
}
