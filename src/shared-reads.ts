/** A read under way, and how many wait for it. */
export type SharedRead<T> = { answer: Promise<T>; waiting: number; abort: AbortController }

/** Begins a read that others with the same key can join until its answer is there. */
export function shareRead<T>(reads: Map<string, SharedRead<T>>, key: string, run: (signal: AbortSignal) => Promise<T>): SharedRead<T> {
  const abort = new AbortController()
  const forget = () => reads.get(key) === shared && reads.delete(key)
  const answer = run(abort.signal).finally(forget)
  const shared: SharedRead<T> = { answer, waiting: 0, abort }
  abort.signal.addEventListener('abort', forget)
  reads.set(key, shared)
  return shared
}

/** Waits for a shared answer with a signal not yet aborted; the last one to leave cancels the call. */
export function joinRead<T>(shared: SharedRead<T>, signal: AbortSignal): Promise<T> {
  shared.waiting++
  return new Promise((resolve, reject) => {
    const leave = () => {
      shared.waiting--
      if (shared.waiting === 0) shared.abort.abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    shared.answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}
