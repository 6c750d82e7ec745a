import type { Clock } from './ports.ts'
import type { WebhookState } from './saved-state.ts'
import { pauseMs, refusedRun } from './verdict.ts'
import type { Entry } from './window.ts'

export type WebhookStateName = 'ok' | 'paused' | 'disabled'

/** What is known of an endpoint, as one word. */
export const stateNameOf = ({ paused, disabledAt }: { paused?: unknown; disabledAt?: number | undefined }): WebhookStateName =>
  disabledAt !== undefined ? 'disabled' : paused ? 'paused' : 'ok'

export type Health = ReturnType<typeof createHealth>

/** What the deliveries say of an endpoint: whether it is up. What was disabled before the process started is tried again. Attempts start by the clock that never jumps. */
export function createHealth(saved: Pick<WebhookState, 'paused' | 'disabledAt'>, startedAt: number) {
  let { paused } = saved
  let since = Number.NEGATIVE_INFINITY
  let disabledAt = saved.disabledAt !== undefined && saved.disabledAt >= startedAt ? saved.disabledAt : undefined
  /** Different events that were refused since the last delivery. */
  let run: Entry[] = []
  let accepted = 0

  return {
    state: () => stateNameOf({ paused, disabledAt }),
    saved: () => ({ ...(paused && { paused }), ...(disabledAt !== undefined && { disabledAt }) }),
    pausedUntil: () => paused?.until ?? 0,

    /** An attempt that began before the endpoint went down says nothing of whether it is up again. */
    delivered(startedAt: number) {
      accepted++
      run = []
      if (startedAt > since) paused = undefined
    },

    down(startedAt: number, { now, monotonic, random }: Pick<Clock, 'now' | 'monotonic' | 'random'>, retryAfterMs: number) {
      const isNews = paused === undefined || startedAt > since
      const pauses = isNews ? (paused?.pauses ?? -1) + 1 : (paused?.pauses ?? 0)
      const until = now() + pauseMs(pauses, random(), retryAfterMs)
      paused = { pauses, until: isNews ? until : Math.max(paused?.until ?? 0, retryAfterMs > 0 ? until : 0) }
      if (isNews) since = monotonic()
    },

    /** Gives the events that were refused in a row, if they are so many that the endpoint is to blame; `isProbe` if that was known before the attempt. */
    refused(entry: Entry, startedAt: number): { suspects: readonly Entry[]; isProbe: boolean } {
      const isProbe = run.length >= refusedRun && startedAt > since
      // It was refused before, and the endpoint has accepted something since: it is the event.
      if (entry.suspectedAt !== undefined && entry.suspectedAt < accepted) return { suspects: [], isProbe }
      entry.suspectedAt = accepted
      if (!run.includes(entry)) run.push(entry)
      return { suspects: run.length < refusedRun ? [] : run, isProbe }
    },

    /** The endpoint answered, which is not what one does that is down, unless it refuses everything. */
    answered(startedAt: number) {
      if (startedAt > since && run.length < refusedRun) paused = undefined
    },

    /** What was refused is not in the log any more, or is delivered again. */
    forgetRefused() {
      run = []
    },

    gone(now: number) {
      disabledAt = now
    },

    /** A test was accepted; returns whether it ends a pause. */
    resume(): boolean {
      const endsPause = paused !== undefined && disabledAt === undefined
      accepted++
      paused = undefined
      run = []
      return endsPause
    },
  }
}
