/** A read under way, and how many wait for it. */
export type SharedRead = { answer: Promise<unknown[]>; waiting: number; abort: AbortController }

/** Begins a read that others with the same key can join until its answer is there. */
export function shareRead(reads: Map<string, SharedRead>, key: string, run: (signal: AbortSignal) => Promise<unknown[]>): SharedRead {
  const abort = new AbortController()
  const forget = () => reads.get(key) === shared && reads.delete(key)
  const answer = run(abort.signal).finally(forget)
  const shared: SharedRead = { answer, waiting: 0, abort }
  abort.signal.addEventListener('abort', forget)
  reads.set(key, shared)
  return shared
}

/** Waits for a shared answer with a signal not yet aborted; the last one to leave cancels the call. */
export function joinRead(shared: SharedRead, signal: AbortSignal): Promise<unknown[]> {
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
