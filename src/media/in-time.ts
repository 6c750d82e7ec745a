import { Problem } from '../problem/problem.ts'
import { StoreUnavailableError, within } from '../store/store.ts'

const storeMs = 2_000

/** What the ledger of the files answers, in time; throws `store-unavailable`. */
export async function inTime<T>(verb: Promise<T>): Promise<T> {
  try {
    return await within(storeMs, verb)
  } catch (error) {
    throw error instanceof StoreUnavailableError ? new Problem('store-unavailable', { cause: error }) : error
  }
}
