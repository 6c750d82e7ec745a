import type { Cancellation } from '../lib/cancellation.ts'

/** An account as it stood when a request arrived: a reload does not change it under the request. */
export type Account = {
  name: string
  /** Afilnet's user of the account. */
  user: string
}

/** What one request brings along for its calls to Afilnet, and what is learnt of them for the log. */
export type Call = {
  caller: string
  account: Account
  /** Cancelled when the caller leaves. Only safe reads end with it. */
  cancellation: Cancellation
  /** Set as soon as a call that is not safe may leave. */
  unsafeStarted?: boolean
  upstreamMs?: number
  upstreamCode?: string
}
