import type { SavedWebhook } from '../store/deliveries.ts'
import type { Entry, Window } from './window.ts'

/** What is saved of a webhook: positions, times and statuses, no chat and no text. */
export type WebhookState = {
  /** The log that the positions belong to; empty before there was one. */
  identity: string
  /** Everything up to here is settled but for `again`; after it, `done` is. */
  position: number
  done: number[]
  again: number[]
  tried: Tried[]
  /** The endpoint that the rest is about; a release before this field saved none. */
  endpoint?: string
  paused?: { until: number; pauses: number }
  disabledAt?: number
  lastError?: string | undefined
  oldestAt?: number
  /** Where it was in the logs of its earlier accounts. */
  formerAccounts?: Record<string, WebhookState>
}

type Tried = Pick<Entry, 'attempts' | 'refusals' | 'lastStatus' | 'lastError' | 'lastAttemptAt'> & { position: number }

/** The state in the log of an account, if the webhook was ever there; `formerAccounts` has those of its other accounts, whose positions mean nothing here. */
export function readState(
  saved: SavedWebhook | undefined,
  account: string,
): { state?: WebhookState; formerAccounts: Record<string, WebhookState> } {
  if (!saved) return { formerAccounts: {} }
  const { formerAccounts: earlier, ...last } = JSON.parse(saved.state) as WebhookState // only `writeState` makes them
  const { [account]: state, ...formerAccounts } = { ...earlier, [saved.account]: last }
  return { ...(state && { state }), formerAccounts }
}

/** What is known of an endpoint does not hold for another one, to which nothing has been refused either. */
export function stateAt(endpoint: string, saved: WebhookState): WebhookState {
  if ((saved.endpoint ?? endpoint) === endpoint) return saved
  const { paused, disabledAt, lastError, ...state } = saved
  return { ...state, tried: state.tried.map(tried => ({ ...tried, refusals: 0 })) }
}

export function writeState(
  window: Window,
  state: Pick<WebhookState, 'identity' | 'endpoint' | 'paused' | 'disabledAt' | 'lastError' | 'formerAccounts'>,
): string {
  const tried: Tried[] = window.entries
    .filter(({ attempts }) => attempts > 0)
    .map(({ event: { position }, attempts, refusals, lastStatus, lastError, lastAttemptAt }) => {
      return { position, attempts, refusals, lastStatus, lastError, lastAttemptAt }
    })
  const oldestAt = window.entries[0]?.event.at
  return JSON.stringify({ ...state, ...window.progress(), tried, ...(oldestAt !== undefined && { oldestAt }) } satisfies WebhookState)
}
