import type { Clock } from './ports.ts'

const gapMs = 100
const retryMs = 1_000

/** Saves soon after a change, one at a time: what changes meanwhile goes with the next. */
export function createSaving({ after }: Pick<Clock, 'after'>, save: () => Promise<void>) {
  let dirty = false
  let running: Promise<void> | undefined
  let cancel: (() => void) | undefined

  function flush(): Promise<void> {
    cancel?.()
    cancel = undefined
    dirty = false
    running = save().finally(() => {
      running = undefined
    })
    return running
  }

  function schedule(ms: number) {
    if (cancel || running) return
    cancel = after(ms, () => {
      cancel = undefined
      flush().then(
        () => dirty && schedule(gapMs),
        () => schedule(retryMs),
      )
    })
  }

  return {
    soon() {
      dirty = true
      schedule(gapMs)
    },
    /** Rejects if it could not be saved. */
    async now() {
      await running?.catch(() => {})
      return flush()
    },
    stop() {
      cancel?.()
      cancel = () => {} // nothing is scheduled any more
    },
  }
}

export type Saving = ReturnType<typeof createSaving>
