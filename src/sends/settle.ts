import type { Scope } from '../access.ts'
import { type Observe, unobserved } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import { type Outcome, type SendRow, type Store, within } from '../store/store.ts'
import { type DescribedSend, describeSend, outcomeOf } from './outcome.ts'
import { maySee, type SendReader } from './reads.ts'
import { throwUnavailable } from './refusals.ts'

/** What a person found out about a send that is `unknown`. */
export type Verdict = { state: 'accepted' | 'rejected' | 'not_sent'; note?: string | undefined; requestId: string }

/** Who settles, and what the key may do. */
export type Settler = SendReader & { scopes: ReadonlySet<Scope> }

type SettleOptions = { store: Store; base: string; timeoutMs: number; now: () => number; observe?: Observe }

/**
 * Records what a person found out about an `unknown` send of the caller: `not_sent` frees its key, else the key replays the verdict.
 *
 * Throws `send-not-found`, `insufficient-scope`, `send-already-settled` and `store-unavailable`.
 */
export function createSettlement({ store, base, timeoutMs, now, observe = unobserved }: SettleOptions) {
  return async (settler: Settler, id: string, verdict: Verdict): Promise<DescribedSend> => {
    const row = await within(timeoutMs, store.find(settler, id)).catch(throwUnavailable)
    if (!row || !maySee(settler, row)) throw new Problem('send-not-found')
    requireScope(settler, row)
    if (row.state !== 'unknown') throw new Problem('send-already-settled', { sendId: id })
    const outcome = outcomeBy(row, verdict, { base, settledAt: Math.max(row.createdAt, now()) })
    const { settled } = await within(timeoutMs, store.settle(row, outcome)).catch(throwUnavailable)
    if (!settled) throw new Problem('send-already-settled', { sendId: id })
    observe('sendSettled', { account: row.account, kind: row.kind, state: outcome.state })
    return describeSend({ ...row, ...outcome }, base)
  }
}

/** A caller that changes a send needs the scope that the send needs. */
export function requireScope({ scopes, token }: Settler, { kind }: SendRow) {
  const scope = kind === 'file' ? 'files:send' : 'messages:send'
  if (!scopes.has(scope)) throw new Problem('insufficient-scope', { detail: `This ${token ? 'token' : 'key'} lacks the scope ${scope}.` })
}

function outcomeBy(row: SendRow, { state, note, requestId }: Verdict, { base, settledAt }: { base: string; settledAt: number }): Outcome {
  const settledBy = 'caller'
  const rejected = state === 'rejected' && outcomeOf(new Problem('send-settled-rejected'), row, { base, requestId, settledAt, settledBy })
  return { ...(rejected || { state, settledAt, answer: '', settledBy }), late: true, ...(note !== undefined && { note }) }
}
