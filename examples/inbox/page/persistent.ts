import { GatewayProblem } from '../../../client/src/client.ts'

type Options = {
  /** Called after each run, with its error if it failed. */
  onOutcome: (error: unknown) => void
  signal?: AbortSignal
}

/**
 * A task that is repeated until it works: the gateway may be away for a while, and what it refuses may be allowed again.
 *
 * It runs once at a time: a call meanwhile asks for one run more.
 */
export function persistent(task: () => Promise<void>, { onOutcome, signal }: Options): () => Promise<void> {
  let isRunning = false
  let isDue = false
  return async () => {
    isDue = true
    if (isRunning) return
    isRunning = true
    while (isDue && !signal?.aborted) {
      isDue = false
      const error: unknown = await task().then(
        () => undefined,
        error => error,
      )
      if (signal?.aborted) return
      onOutcome(error)
      if (error === undefined) continue
      isDue = true
      const pauseMs = error instanceof GatewayProblem && error.retry === 'no' ? 10_000 : 2_000
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
    isRunning = false
  }
}
