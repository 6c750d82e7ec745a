import { type Observe, unobserved } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import { type Outcome, type Store, within } from '../store/store.ts'
import { type DescribedSend, describeSend } from './outcome.ts'
import { maySee } from './reads.ts'
import { throwUnavailable } from './refusals.ts'
import { requireScope, type Settler } from './settle.ts'

type CancelOptions = { store: Store; base: string; timeoutMs: number; now: () => number; observe?: Observe }

/**
 * Cancels a queued send of the caller; it is canceled or it goes, never both.
 *
 * Throws `send-not-found`, `insufficient-scope`, `send-already-started` and `store-unavailable`.
 */
export function createCancellation({ store, base, timeoutMs, now, observe = unobserved }: CancelOptions) {
  return async (settler: Settler, id: string): Promise<DescribedSend> => {
    const found = await within(timeoutMs, store.find(settler, id)).catch(throwUnavailable)
    if (!found || !maySee(settler, found)) throw new Problem('send-not-found')
    requireScope(settler, found)
    const outcome: Outcome = { state: 'canceled', settledAt: Math.max(found.createdAt, now()), answer: '', settledBy: 'caller' }
    const { settled, row } = await within(timeoutMs, store.unqueue(found, outcome)).catch(throwUnavailable)
    if (settled) {
      observe('sendSettled', { account: found.account, kind: found.kind, state: 'canceled' })
      return describeSend({ ...found, ...outcome }, base)
    }
    if (row?.state !== 'canceled') throw new Problem('send-already-started', { sendId: id })
    return describeSend(row, base)
  }
}
