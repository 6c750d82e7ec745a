import { createDeparture, type Departure } from './cancellation.ts'

/** A read under way, and how many wait for it. */
export type SharedRead<T> = { answer: Promise<T>; waiting: number; leave: (reason: Error) => void }

/** Begins a read that others with the same key can join until its answer is there. */
export function shareRead<T>(reads: Map<string, SharedRead<T>>, key: string, run: (departure: Departure) => Promise<T>): SharedRead<T> {
  const departure = createDeparture()
  const forget = () => void (reads.get(key) === shared && reads.delete(key))
  const answer = run(departure)
  const shared: SharedRead<T> = { answer, waiting: 0, leave: departure.leave }
  reads.set(key, shared)
  answer.then(forget, forget)
  departure.listen(forget)
  return shared
}

/** Waits for a shared answer on behalf of somebody who is still there; the last one to leave cancels the call. */
export function joinRead<T>(shared: SharedRead<T>, departure: Departure): Promise<T> {
  shared.waiting++
  return new Promise((resolve, reject) => {
    const stay = departure.listen(() => {
      shared.waiting--
      const reason = departure.reason ?? new Error('nobody waits any more')
      if (shared.waiting === 0) shared.leave(reason)
      reject(reason)
    })
    shared.answer.then(
      answer => {
        stay()
        resolve(answer)
      },
      error => {
        stay()
        reject(error)
      },
    )
  })
}

/** Leaves with whoever leaves, or when the time is up. */
export function leavingAfter(ms: number, other: Departure, reason: Error) {
  const departure = createDeparture()
  const timer = setTimeout(() => departure.leave(reason), ms)
  const stay = other.listen(() => departure.leave(other.reason ?? reason))
  return {
    departure,
    stay() {
      clearTimeout(timer)
      stay()
    },
  }
}
