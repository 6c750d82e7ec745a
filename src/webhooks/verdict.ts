/** What an answer means: the event is delivered; the endpoint is down; it refuses this event; it wants no more. */
type Verdict = 'delivered' | 'down' | 'refused' | 'gone'

/** Statuses that speak of the endpoint or of its access rules, not of the event. */
const ofTheEndpoint = new Set([401, 403, 404, 408, 409, 425, 429])

export function verdictOf(status: number): Verdict {
  if (status >= 200 && status < 300) return 'delivered'
  if (status === 410) return 'gone'
  return (status >= 300 && status < 400) || status >= 500 || ofTheEndpoint.has(status) ? 'down' : 'refused'
}

/** How often an event is attempted before it is failed, and the waits in between. */
export const mostRefusals = 5
export const refusalDelayMs = (refusals: number) => 1_000 * 2 ** (refusals - 1)

/** So many refused events in a row, with no delivery between, mean that the endpoint is down. */
export const refusedRun = 5

const longestRetryAfterMs = 600_000

/** Whether something waits until then; a wait that would be longer than any began under a clock that was ahead. */
export const isAhead = (until: number, now: number) => until > now && until <= now + longestRetryAfterMs

/** How long a webhook pauses, for the n-th time in a row (from 0). */
export function pauseMs(pauses: number, random: number, retryAfterMs: number): number {
  const usual = Math.min(60_000, 5_000 * 2 ** Math.min(pauses, 10) * (0.9 + 0.2 * random))
  return Math.max(usual, Math.min(longestRetryAfterMs, retryAfterMs))
}
