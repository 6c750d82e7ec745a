import { randomUUID } from 'node:crypto'
import { repeat } from '../lib/repeat.ts'
import { type Outcome, type SendRef, type SendRow, type Settlement, type Store, within } from '../store/store.ts'

/** The lease of this process in the store, and the outcomes that the store has not taken yet. */
export type Lease = {
  owner: string
  /** Offers an outcome that the store refused four times a second, until the store has it. */
  retryLater(send: SendRef, outcome: Outcome, queued?: boolean): void
  /** Whether what became of an attempt is not recorded yet. */
  isUnrecorded(id: string): boolean
  /** Whether a send that the queue may have taken is about to be taken back: its caller was not told that it is queued. */
  isWithdrawn(id: string): boolean
  /** Queues a send again, now or as soon as the store takes it: until then it is pending, and `unknown` if this process dies. */
  requeue(send: SendRef, nextAt: number, attempts: number): Promise<void>
  /** Offers these outcomes once more and ends the lease: sends that are still pending become `unknown`. */
  end(): Promise<void>
}

/**
 * `timeoutMs` bounds each call to the store, and to Afilnet; `onHeartbeat` gets the bytes of the ledger. `onExpired` gets how many sends became
 * `unknown`: of dead processes, or of this one if a server failed that had recorded their ends.
 */
type LeaseOptions = {
  timeoutMs: number
  heartbeatMs: number
  now: () => number
  onHeartbeat: (bytes: number) => void
  onExpired: (count: number) => void
}

// An outage refuses thousands of claims. Those that may have reached the store are among the first.
const maxWaiting = 10_000
const batchSize = 500
const flushMs = 250
const deleteMs = 60_000

// A ledger without the row is another one. The right one may come back, with the send still pending in it.
const absentRetryMs = 5_000
const absentKeepMs = 3_600_000

/** If a send is still pending so long after the request to queue it again, another attempt of it has begun. */
const pendingKeepMs = 10_000

/** Heartbeats between two checks for sends that stay pending although this process does not run them. */
const beatsPerCheck = 20

/** An outcome that the store does not have, since when, and when to offer it again; times are those of `performance.now`. */
type Waiting = {
  send: SendRef
  outcome?: Outcome
  withdraws: boolean
  write: (store: Store) => Promise<Settlement>
  since: number
  dueAt: number
}

/** Keeps a lease until `end`, and meanwhile expires the leases of dead processes and deletes old sends. */
export function holdLease(store: Store, { timeoutMs, heartbeatMs, now: wallClock, onHeartbeat, onExpired }: LeaseOptions): Lease {
  const owner = randomUUID()
  const waiting = new Map<string, Waiting>()
  const forget = (entry: Waiting) => waiting.get(entry.send.id) === entry && waiting.delete(entry.send.id)
  // A send takes three timeouts at most: claim, call and record. A process that was stopped gets two more checks.
  const maxSightings = 2 + Math.ceil((3 * timeoutMs) / (beatsPerCheck * heartbeatMs))
  let sightings = new Map<string, number>()
  const jobs = [
    repeat(heartbeatMs, () => within(timeoutMs, store.heartbeat(owner)).then(onHeartbeat)),
    repeat(heartbeatMs, () => within(timeoutMs, store.expireLeases()).then(count => void (count > 0 && onExpired(count)))),
    repeat(Math.min(heartbeatMs, flushMs), flush), // often: a waiting outcome is lost if this process dies
    repeat(deleteMs, () => store.deleteExpired()),
    repeat(beatsPerCheck * heartbeatMs, endForgotten),
  ]

  /** Ends what stays pending: a failover may have lost an end that the store had confirmed. */
  async function endForgotten() {
    if (!store.count) return // only a store that several machines share fails over
    const seen = new Map<string, number>()
    for (const { row, attempts } of await within(timeoutMs, store.pendingOf(owner))) {
      if (waiting.has(row.id)) continue
      const name = `${row.id} ${attempts}`
      const times = (sightings.get(name) ?? 0) + 1
      seen.set(name, times)
      if (times < maxSightings) continue
      const outcome: Outcome = { state: 'unknown', settledAt: Math.max(row.createdAt, wallClock()), answer: '', late: true }
      if ((await within(timeoutMs, store.settle(row, outcome))).settled) onExpired(1)
    }
    sightings = seen
  }

  /** Stops at the first refusal: the store is not available. */
  async function flush() {
    const now = performance.now()
    for (let rest = [...waiting.values()].filter(({ dueAt }) => dueAt <= now); rest.length > 0; rest = rest.slice(batchSize))
      await Promise.all(rest.slice(0, batchSize).map(entry => settle(entry, now)))
  }

  async function settle(entry: Waiting, now: number) {
    const { settled, row } = await within(timeoutMs, entry.write(store))
    // A send that the queue has handed out is queued again by the worker, and can be taken back then.
    const mayChange = !settled && (row === undefined || row.state === 'pending') && now - entry.since < keepMsOf(entry, row, waiting.size)
    if (mayChange) entry.dueAt = row ? now : now + absentRetryMs
    else setImmediate(forget, entry) // an answer of the store that is as old may not have been looked at yet
  }

  return {
    owner,
    retryLater({ caller, account, id, kind }, outcome, queued = false) {
      const known = waiting.get(id)
      if (known?.outcome && outcome.state === 'unknown') return // a late answer says more
      const since = performance.now()
      const send = { caller, account, id, kind }
      // What may have been queued must not be taken back once it runs.
      const write = (to: Store) => (queued ? to.unqueue(send, outcome) : to.settle(send, afterAnswer(outcome)))
      if (known || outcome.state !== 'not_sent' || waiting.size < maxWaiting)
        waiting.set(id, { send, outcome, withdraws: queued, write, since, dueAt: since })
    },
    isUnrecorded: id => waiting.get(id)?.withdraws === false,
    isWithdrawn: id => waiting.get(id)?.withdraws === true,
    async requeue({ caller, account, id }, nextAt, attempts) {
      const send = { caller, account, id }
      const write = (to: Store) => requeueIn(to, send, nextAt, attempts)
      const { settled } = await within(timeoutMs, write(store)).catch(() => ({ settled: false }))
      if (settled) return
      const since = performance.now()
      const known = waiting.get(id)
      if (known?.withdraws)
        waiting.set(id, { ...known, write: async to => ((await write(to)).settled ? known.write(to) : { settled: false }) })
      else waiting.set(id, { send, withdraws: false, write, since, dueAt: since })
    },
    async end() {
      for (const stop of jobs) stop()
      for (const entry of waiting.values()) entry.dueAt = 0
      await flush().catch(() => {})
      await within(timeoutMs, store.release(owner)).catch(() => {})
    },
  }
}

/** How long an outcome is offered to a store that does not take it. */
function keepMsOf({ outcome }: Waiting, row: SendRow | undefined, waiting: number): number {
  if (row) return outcome ? absentKeepMs : pendingKeepMs // without an outcome it queues a send again
  // The claim of what is absent has reached no store: beyond half of the room it makes way for the claims of the next outage.
  return outcome?.state === 'not_sent' && waiting > maxWaiting / 2 ? 0 : absentKeepMs
}

async function requeueIn(store: Store, send: SendRef, nextAt: number, attempts: number): Promise<Settlement> {
  if (await store.requeue(send, nextAt, attempts)) return { settled: true }
  const row = await store.find(send, send.id) // if there is none, this is another ledger
  return { settled: row !== undefined && row.state !== 'pending', ...(row && { row }) }
}

/** By then the POST is answered; what was not sent was no send to its caller. */
const afterAnswer = (outcome: Outcome): Outcome => (outcome.state === 'not_sent' ? outcome : { ...outcome, late: true })
