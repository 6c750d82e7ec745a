import type { Scope } from '../access.ts'
import type { Observe } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import { type Outcome, type SendRow, type Store, within } from '../store/store.ts'
import { type DescribedSend, describeSend, outcomeOf } from './outcome.ts'
import { findVisible, type SendReader } from './reads.ts'
import { throwUnavailable } from './refusals.ts'

/** What a person found out about a send that is `unknown`. */
type Verdict = { state: 'accepted' | 'rejected' | 'not_sent'; note?: string | undefined; requestId: string }

/** Who settles, and what the key may do. */
type Settler = SendReader & { scopes: ReadonlySet<Scope> }

type SettleOptions = { store: Store; base: string; timeoutMs: number; now: () => number; observe: Observe }

export type Settlements = ReturnType<typeof createSettlements>

/** The ends that callers give their own sends. */
export function createSettlements({ store, base, timeoutMs, now, observe }: SettleOptions) {
  /** A caller that changes a send needs the scope that the send needs. */
  async function find(settler: Settler, id: string): Promise<SendRow> {
    const row = await findVisible(store, timeoutMs, settler, id)
    const scope = row.kind === 'file' ? 'files:send' : 'messages:send'
    if (settler.scopes.has(scope)) return row
    throw new Problem('insufficient-scope', { detail: `This ${settler.token ? 'token' : 'key'} lacks the scope ${scope}.` })
  }

  function ended(row: SendRow, outcome: Outcome): DescribedSend {
    observe('sendSettled', { account: row.account, kind: row.kind, state: outcome.state })
    return describeSend({ ...row, ...outcome }, base)
  }

  return {
    /**
     * Records what a person found out about an `unknown` send of the caller: `not_sent` frees its key, else the key replays the verdict.
     *
     * Throws `send-not-found`, `insufficient-scope`, `send-already-settled` and `store-unavailable`.
     */
    async settle(settler: Settler, id: string, verdict: Verdict) {
      const row = await find(settler, id)
      if (row.state !== 'unknown') throw new Problem('send-already-settled', { sendId: id })
      const outcome = outcomeBy(row, verdict, { base, settledAt: Math.max(row.createdAt, now()) })
      const { settled } = await within(timeoutMs, store.settle(row, outcome)).catch(throwUnavailable)
      if (!settled) throw new Problem('send-already-settled', { sendId: id })
      return ended(row, outcome)
    },
    /**
     * Cancels a queued send of the caller; it is canceled or it goes, never both.
     *
     * Throws `send-not-found`, `insufficient-scope`, `send-already-started` and `store-unavailable`.
     */
    async cancel(settler: Settler, id: string) {
      const found = await find(settler, id)
      const outcome: Outcome = { state: 'canceled', settledAt: Math.max(found.createdAt, now()), answer: '', settledBy: 'caller' }
      const { settled, row } = await within(timeoutMs, store.unqueue(found, outcome)).catch(throwUnavailable)
      if (settled) return ended(found, outcome)
      if (row?.state !== 'canceled') throw new Problem('send-already-started', { sendId: id })
      return describeSend(row, base)
    },
  }
}

function outcomeBy(row: SendRow, { state, note, requestId }: Verdict, { base, settledAt }: { base: string; settledAt: number }): Outcome {
  const settledBy = 'caller'
  const rejected = state === 'rejected' && outcomeOf(new Problem('send-settled-rejected'), row, { base, requestId, settledAt, settledBy })
  return { ...(rejected || { state, settledAt, answer: '', settledBy }), late: true, ...(note !== undefined && { note }) }
}
