import { allows, namesOf, type TokenGrant } from '../access.ts'
import { invalidParameter } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import { type ReadCancellation, type Sender, type SendFilter, type SendRow, type Store, within } from '../store/store.ts'
import { describeSend } from './outcome.ts'
import { throwUnavailable } from './refusals.ts'
import { ledgerKey } from './request.ts'

type SendFilters = Omit<SendFilter, 'before' | 'actor'> & { cursor?: string }

/** Who asks: with a token, it sees what was made by its actor in its chat. */
export type SendReader = Sender & { token?: Pick<TokenGrant, 'actor' | 'chat'> | undefined }

export type SendReads = ReturnType<typeof createSendReads>

/** What callers may look up in the ledger; `timeoutMs` bounds each query. */
export function createSendReads({ store, base, timeoutMs }: { store: Store; base: string; timeoutMs: number }) {
  return {
    /** A send of the caller. Throws `send-not-found` and `store-unavailable`. */
    async find(reader: SendReader, id: string, cancellation?: ReadCancellation) {
      return describeSend(await findVisible(store, timeoutMs, reader, id, cancellation), base)
    },

    /** A page of the caller's sends, newest first; the query stops if the caller leaves. Throws `invalid-request` for a cursor that no page has, and `store-unavailable`. */
    async list(reader: SendReader, { cursor, limit, ...given }: SendFilters, cancellation?: ReadCancellation) {
      const before = cursor === undefined ? undefined : idOf(cursor)
      const pages = namedIn(given).map(async named => {
        const filters = filtersOf(reader, named)
        if (!filters) return []
        const page = store.list(reader, { ...filters, limit: limit + 1, ...(before !== undefined && { before }) }, cancellation)
        return within(timeoutMs, page).catch(throwUnavailable)
      })
      const rows = newestFirst(await Promise.all(pages))
      const items = rows.slice(0, limit).map(row => describeSend(row, base))
      const last = items.at(-1)
      return { items, ...(rows.length > limit && last && { nextCursor: cursorOf(last.id) }) }
    },
  }
}

/** The row of a send that belongs to the caller and may be seen with its token. Throws `send-not-found` and `store-unavailable`. */
export async function findVisible(store: Store, timeoutMs: number, reader: SendReader, id: string, cancellation?: ReadCancellation) {
  const { token } = reader
  const row = await within(timeoutMs, store.find(reader, id, cancellation)).catch(throwUnavailable)
  const isVisible = row && (!token || (row.actor === token.actor && allows([token.chat], row.platform, row.platformId, row.destination)))
  if (!isVisible) throw new Problem('send-not-found')
  return row
}

const cursorOf = (id: string) => Buffer.from(id).toString('base64url')

function idOf(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw invalidParameter('query', 'cursor', 'is not the nextCursor of a page')
  return id
}

type Filters = Omit<SendFilter, 'before' | 'limit'>

/** The filters, once for each name that the recipient may have. */
function namedIn(filters: Filters): Filters[] {
  const { platform, destination } = filters
  if (destination === undefined) return [filters]
  return namesOf(platform, destination).map(name => ({ ...filters, destination: name }))
}

/** The rows of all pages, each once. */
function newestFirst(pages: SendRow[][]): SendRow[] {
  const rows = new Map(pages.flat().map(row => [row.id, row]))
  return [...rows.values()].sort((a, b) => (a.id < b.id ? 1 : -1))
}

/** The filters as the ledger takes them; nothing if no send of the token passes them. */
function filtersOf({ token }: SendReader, filters: Filters): Filters | undefined {
  if (!token) return filters
  const { actor, chat } = token
  const { platform = chat.platform, platformId = chat.platformId, destination = chat.destination, idempotencyKey: key } = filters
  if (!allows([chat], platform, platformId, destination)) return undefined
  return { ...filters, ...chat, actor, ...(key !== undefined && { idempotencyKey: ledgerKey(key, actor, chat) }) }
}
