import { invalidBody, invalidParameter } from '../problem/invalid-request.ts'
import type { EventStore } from '../store/event-log.ts'
import { startNow } from './feed.ts'
import { passes } from './filter.ts'
import { type Delivery, pendingDeliveries } from './pending.ts'
import type { EventReader, WebhookConfig } from './ports.ts'
import { readState } from './saved-state.ts'

/** A delivery as the API shows it. */
export type DeliveryItem = {
  eventId: string
  type: string
  at: string
  destination: string | null
  state: 'pending' | 'failed'
  attempts: number
  lastStatus?: number
  lastError?: string
  lastAttemptAt?: string
}

export type DeliveryPage = { items: DeliveryItem[]; nextCursor?: string }

type Query = { state?: 'pending' | 'failed'; limit: number; cursor?: string }

/** Lists what a webhook has not delivered: what failed, from the store, and what waits, from the log. */
export function createListing({ store: { log, deliveries }, reader }: { store: EventStore; reader: EventReader }) {
  async function list(name: string, webhook: WebhookConfig, { state, limit, cursor }: Query): Promise<DeliveryPage> {
    const { account } = webhook
    const after = cursor === undefined ? -1 : positionIn(cursor)
    const { saved } = await deliveries.webhook(name)
    const known = readState(saved, account).state ?? (await startNow(log, account))
    const rows = state === 'pending' ? [] : await deliveries.failed(name, after, limit + 1)
    const failed = rows.filter(({ eventId }) => reader.readCursor(account, eventId)) // the webhook may have had another account
    const waiting =
      state === 'failed' ? { found: [] } : await pendingDeliveries(log, account, known, event => passes(webhook, event), { after, limit })
    const { found, next = Number.POSITIVE_INFINITY } = { next: undefined, ...waiting }
    const upTo = Math.min(next, rows.length > limit ? (rows.at(-1)?.position ?? next) : next)
    const all = [...failed.map(row => ({ ...row, state: 'failed' as const })), ...found]
      .filter(({ position }) => position <= upTo)
      .sort((a, b) => a.position - b.position)
    const items = all.slice(0, limit)
    const last = all.length > limit ? items.at(-1)?.position : upTo
    return {
      items: items.map(delivery => itemOf(delivery, delivery.eventId ?? reader.idOf(account, known.identity, delivery.position, false))),
      ...(last !== undefined && Number.isFinite(last) && { nextCursor: cursorOf(last) }),
    }
  }

  /** Where a cursor of the log of an account points. */
  async function positionOf(account: string, cursor: string): Promise<number> {
    const { identity, position: last } = await startNow(log, account)
    const found = reader.readCursor(account, cursor)
    if (found?.identity !== identity || found.position > last) throw invalidBody('/after', 'is not the id of an event of this account')
    return found.position
  }

  return Object.assign(list, { positionOf })
}

const cursorOf = (position: number) => Buffer.from(String(position)).toString('base64url')

function positionIn(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString()
  if (!/^-?\d{1,16}$/.test(text)) throw invalidParameter('query', 'cursor', 'is not the nextCursor of a page')
  return Number(text)
}

const itemOf = (
  { type, at, destination, state, attempts, lastStatus, lastError, lastAttemptAt }: Delivery,
  eventId: string,
): DeliveryItem => ({
  eventId,
  type,
  at: new Date(at).toISOString(),
  destination,
  state,
  attempts,
  ...(lastStatus !== null && { lastStatus }),
  ...(lastError !== null && { lastError }),
  ...(lastAttemptAt > 0 && { lastAttemptAt: new Date(lastAttemptAt).toISOString() }),
})

export type Listing = ReturnType<typeof createListing>
