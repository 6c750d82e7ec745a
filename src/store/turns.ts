import { type ReadCancellation, StoreUnavailableError } from './store.ts'

const concurrent = 2
const maxWaiting = 200 // of one caller

/**
 * Runs steps of reads, a few at a time. Callers take turns: one that asks for hundreds of long lists waits for itself, and others wait for
 * one step of it.
 *
 * Rejects with `StoreUnavailableError` (`busy`) beyond 200 waiting steps of a caller, and with the reason of the cancellation when the turn
 * of a cancelled read comes.
 */
export function createTurns() {
  const queues = new Map<string, (() => void)[]>() // in order of their next turn
  let running = 0

  function next() {
    running--
    for (const [caller, queue] of queues) {
      queues.delete(caller)
      const start = queue.shift()
      if (queue.length > 0) queues.set(caller, queue)
      if (start) return start()
    }
  }

  async function turn(caller: string) {
    if (running < concurrent) return void running++
    const queue = queues.get(caller) ?? []
    if (queue.length >= maxWaiting) throw new StoreUnavailableError('busy')
    await new Promise<void>(resolve => {
      queue.push(resolve)
      queues.set(caller, queue)
    })
    running++
  }

  return async <T>(caller: string, step: () => Promise<T>, cancellation?: ReadCancellation): Promise<T> => {
    await turn(caller)
    try {
      if (cancellation?.reason) throw cancellation.reason
      return await step()
    } finally {
      next()
    }
  }
}
