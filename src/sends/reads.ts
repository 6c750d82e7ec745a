import { Problem } from '../problem/problem.ts'
import { type ReadCancellation, type Sender, type SendFilter, type Store, within } from '../store/store.ts'
import { cursorOf, idOf } from './cursor.ts'
import { describeSend, type Send } from './outcome.ts'
import { throwUnavailable } from './refusals.ts'

export type SendFilters = Omit<SendFilter, 'before'> & { cursor?: string }

/** What callers may look up in the ledger. */
export type SendReads = {
  /** A send of the caller. Throws `send-not-found` and `store-unavailable`. */
  find(sender: Sender, id: string, cancellation?: ReadCancellation): Promise<Send>
  /** A page of the caller's sends, newest first; the query stops if the caller leaves. Throws `invalid-request` for a cursor that no page has, and `store-unavailable`. */
  list(sender: Sender, filters: SendFilters, cancellation?: ReadCancellation): Promise<{ items: Send[]; nextCursor?: string }>
}

/** Reads sends from the ledger; `timeoutMs` bounds each query. */
export function createSendReads({ store, base, timeoutMs }: { store: Store; base: string; timeoutMs: number }): SendReads {
  return {
    async find(sender, id, cancellation) {
      const row = await within(timeoutMs, store.find(sender, id, cancellation)).catch(throwUnavailable)
      if (!row) throw new Problem('send-not-found')
      return describeSend(row, base)
    },

    async list(sender, { cursor, limit, ...filters }, cancellation) {
      const before = cursor === undefined ? undefined : idOf(cursor)
      const page = store.list(sender, { ...filters, limit: limit + 1, ...(before !== undefined && { before }) }, cancellation)
      const rows = await within(timeoutMs, page).catch(throwUnavailable)
      const items = rows.slice(0, limit).map(row => describeSend(row, base))
      const last = items.at(-1)
      return { items, ...(rows.length > limit && last && { nextCursor: cursorOf(last.id) }) }
    },
  }
}
