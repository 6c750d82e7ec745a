import type { Entry, Window } from './window.ts'

/** What is saved of a webhook: positions, times and statuses, no chat and no text. */
export type WebhookState = {
  /** The log that the positions belong to; empty before there was one. */
  identity: string
  /** Everything up to here is settled but for `again`; after it, `done` is. */
  position: number
  done: number[]
  again: number[]
  /** Attempts of what is not settled. */
  tried: Tried[]
  paused?: { until: number; pauses: number }
  disabledAt?: number
  lastError?: string
  /** The time of the oldest event that waits. */
  oldestAt?: number
}

type Tried = Pick<Entry, 'attempts' | 'refusals' | 'lastStatus' | 'lastError' | 'lastAttemptAt'> & { position: number }

export const readState = (text: string) => JSON.parse(text) as WebhookState // only `writeState` makes them

export function writeState(window: Window, state: Pick<WebhookState, 'identity' | 'paused' | 'disabledAt' | 'lastError'>): string {
  const tried: Tried[] = window.entries
    .filter(({ attempts }) => attempts > 0)
    .map(({ event: { position }, attempts, refusals, lastStatus, lastError, lastAttemptAt }) => ({
      position,
      attempts,
      refusals,
      lastStatus,
      lastError,
      lastAttemptAt,
    }))
  const oldestAt = window.entries[0]?.event.at
  return JSON.stringify({ ...state, ...window.progress(), tried, ...(oldestAt !== undefined && { oldestAt }) } satisfies WebhookState)
}
