import { Cancellation } from './cancellation.ts'

/** A read under way, and how many wait for it. */
export type SharedRead<T> = { answer: Promise<T>; waiting: number; leave: (reason: Error) => void }

/** Begins a read that others with the same key can join until its answer is there. */
export function shareRead<T>(
  reads: Map<string, SharedRead<T>>,
  key: string,
  run: (cancellation: Cancellation) => Promise<T>,
): SharedRead<T> {
  const cancellation = new Cancellation()
  const forget = () => void (reads.get(key) === shared && reads.delete(key))
  const answer = run(cancellation)
  const shared: SharedRead<T> = { answer, waiting: 0, leave: reason => cancellation.cancel(reason) }
  reads.set(key, shared)
  answer.then(forget, forget)
  cancellation.onCancel(forget)
  return shared
}

/** Waits for a shared answer on behalf of somebody who is still there; the last one to leave cancels the call. */
export function joinRead<T>(shared: SharedRead<T>, cancellation: Cancellation): Promise<T> {
  shared.waiting++
  return new Promise((resolve, reject) => {
    const stay = cancellation.onCancel(() => {
      shared.waiting--
      const reason = cancellation.reason ?? new Error('nobody waits any more')
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
export function leavingAfter(ms: number, other: Cancellation, reason: Error) {
  const cancellation = new Cancellation()
  const timer = setTimeout(() => cancellation.cancel(reason), ms)
  const stay = other.onCancel(() => cancellation.cancel(other.reason ?? reason))
  return {
    cancellation,
    stay() {
      clearTimeout(timer)
      stay()
    },
  }
}
