import type { WebhookState } from './saved-state.ts'
import { pauseMs, refusedRun } from './verdict.ts'
import type { Entry } from './window.ts'

export type WebhookStateName = 'ok' | 'paused' | 'disabled'

export type Health = ReturnType<typeof createHealth>

/** What the deliveries say of an endpoint: whether it is up. What was disabled before the process started is tried again. */
export function createHealth(saved: Pick<WebhookState, 'paused' | 'disabledAt'>, startedAt: number) {
  let { paused } = saved
  let since = Number.NEGATIVE_INFINITY
  let disabledAt = saved.disabledAt !== undefined && saved.disabledAt >= startedAt ? saved.disabledAt : undefined
  /** Different events that were refused since the last delivery. */
  let run: Entry[] = []

  const health = {
    state: (): WebhookStateName => (disabledAt !== undefined ? 'disabled' : paused ? 'paused' : 'ok'),
    /** For the saved state. */
    saved: () => ({ ...(paused && { paused }), ...(disabledAt !== undefined && { disabledAt }) }),
    pausedUntil: () => paused?.until ?? 0,

    /** An attempt that began before the endpoint went down says nothing of whether it is up again. */
    delivered(startedAt: number) {
      run = []
      if (startedAt > since) paused = undefined
    },

    down(startedAt: number, now: number, random: number, retryAfterMs: number) {
      const isNews = paused === undefined || startedAt > since
      const pauses = isNews ? (paused?.pauses ?? -1) + 1 : (paused?.pauses ?? 0)
      const until = now + pauseMs(pauses, random, retryAfterMs)
      paused = { pauses, until: isNews ? until : Math.max(paused?.until ?? 0, retryAfterMs > 0 ? until : 0) }
      if (isNews) since = now
    },

    /** Gives the events that were refused in a row, if they are so many that the endpoint is to blame. */
    refused(entry: Entry): Entry[] {
      if (!run.includes(entry) && run.length < refusedRun) run.push(entry)
      return run.length < refusedRun ? [] : run
    },

    /** The endpoint answered, which is not what one does that is down. */
    answered(startedAt: number) {
      if (startedAt > since) paused = undefined
    },

    gone(now: number) {
      disabledAt = now
    },

    resume() {
      paused = undefined
      run = []
    },
  }
  return health
}
