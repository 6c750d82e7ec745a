import { randomUUID } from 'node:crypto'
import { type Outcome, type Store, within } from '../store/store.ts'

/** The standing of this process with the store: its name there, its heartbeat, and what it still has to write down. */
export type Lease = {
  owner: string
  /** Offers an outcome that the store could not take, four times a second until it has. */
  owe(id: string, outcome: Outcome): void
  /** Offers what is owed once more, and ends the lease: what is left pending becomes `unknown`. */
  end(): Promise<void>
}

/** `timeoutMs` is how long a verb is waited for; `reaped` hears how many sends of the dead became unknown. */
export type LeaseOptions = { timeoutMs: number; beatMs?: number; sweepMs?: number; reaped?: (count: number) => void }

const mostOwed = 10_000 // an outage refuses thousands of claims; those that may have got through are among the first
const atOnce = 500
const payMs = 250

/** Keeps a lease until it is ended, and meanwhile buries the dead and sweeps. */
export function holdLease(store: Store, { timeoutMs, beatMs = 2_000, sweepMs = 60_000, reaped = () => {} }: LeaseOptions): Lease {
  const owner = randomUUID()
  const owed = new Map<string, Outcome>()
  const turns = [
    every(beatMs, () => within(timeoutMs, store.heartbeat(owner))),
    every(beatMs, () => within(timeoutMs, store.expireLeases()).then(count => void (count > 0 && reaped(count)))),
    every(Math.min(beatMs, payMs), pay), // what is owed dies with this process
    every(sweepMs, () => store.deleteExpired()),
  ]

  /** Stops at the first refusal: the store has said that it is not there. */
  async function pay() {
    for (let some = [...owed]; some.length > 0; some = some.slice(atOnce)) {
      await Promise.all(
        some.slice(0, atOnce).map(async ([id, outcome]) => {
          await within(timeoutMs, store.settle(id, outcome))
          if (owed.get(id) === outcome) owed.delete(id)
        }),
      )
    }
  }

  return {
    owner,
    owe(id, outcome) {
      const known = owed.get(id)
      if (known && outcome.state === 'unknown') return // a late answer knew better
      if (known || outcome.state !== 'not_sent' || owed.size < mostOwed) owed.set(id, outcome)
    },
    async end() {
      for (const stop of turns) stop()
      await quietly(pay())
      await quietly(within(timeoutMs, store.release(owner)))
    },
  }
}

/** Does the work now and again and again, one at a time; returns what ends it. */
function every(ms: number, work: () => Promise<unknown>): () => void {
  let busy = false
  const turn = async () => {
    if (busy) return
    busy = true
    await quietly(work())
    busy = false
  }
  void turn()
  const timer = setInterval(turn, ms).unref()
  return () => clearInterval(timer)
}

/** The store says by itself when it is lost; what runs in the background has nobody to tell. */
const quietly = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    () => undefined,
  )
