import { limitHeaders } from '../lib/ratelimit-headers.ts'
import { Problem } from '../problem/problem.ts'
import { LedgerChangedError, StoreUnavailableError } from '../store/store.ts'

/** Throws what a caller may know of an error of the store. */
export function throwUnavailable(error: unknown): never {
  if (error instanceof LedgerChangedError) throw new Problem('ledger-changed')
  throw error instanceof StoreUnavailableError ? new Problem('store-unavailable') : error
}

/** The quota is per day of UTC: it is free again when the next one begins. */
export function quotaExceeded(quota: number, at: number): Problem {
  const windowS = 86_400
  const resetS = windowS - Math.floor((at / 1000) % windowS)
  return new Problem('send-quota-exceeded', {
    retryAfterS: resetS,
    headers: limitHeaders({ name: 'sends', quota, windowS, remaining: 0, resetS }),
  })
}
