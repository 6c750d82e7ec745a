import { invalidBody, invalidParameter } from '../problem/invalid-request.ts'
import type { FailedDelivery } from '../store/deliveries.ts'
import type { EventLog, EventStore, LoggedEvent } from '../store/event-log.ts'
import { startNow } from './feed.ts'
import { passes } from './filter.ts'
import type { EventReader, WebhookConfig } from './ports.ts'
import { readState, type WebhookState } from './saved-state.ts'

/** A delivery as the API shows it. */
type DeliveryItem = {
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

export type DeliveryQuery = { state?: 'pending' | 'failed'; limit: number; cursor?: string }

/** A delivery that has not succeeded. */
type Delivery = Omit<FailedDelivery, 'eventId'> & { eventId?: string; state: 'pending' | 'failed' }

const pageEvents = 200
const mostPages = 20 // what one answer looks at

/** Lists what a webhook has not delivered: what failed, from the store, and what waits, from the log. */
export function createListing({ store: { log, deliveries }, reader }: { store: EventStore; reader: EventReader }) {
  async function page(name: string, webhook: WebhookConfig, { state, limit, cursor }: DeliveryQuery): Promise<DeliveryPage> {
    const { account } = webhook
    const after = cursor === undefined ? -1 : positionIn(cursor)
    const { saved } = await deliveries.webhook(name)
    const known = readState(saved, account).state ?? (await startNow(log, account))
    const rows = state === 'pending' ? [] : await deliveries.failed(name, after, limit + 1)
    const failed = rows.filter(({ eventId }) => reader.readCursor(account, eventId)) // the webhook may have had another account
    const wants = (event: LoggedEvent) => passes(webhook, event)
    const { found, next } =
      state === 'failed'
        ? { found: [], next: Number.POSITIVE_INFINITY }
        : await pendingDeliveries(log, account, known, wants, { after, limit })
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

  return { page, positionOf }
}

/** The events after a position that wait for a webhook, from what it saved and from the log; `next` says how far it looked. */
async function pendingDeliveries(
  log: EventLog,
  account: string,
  { position, done, again, tried }: WebhookState,
  wants: (event: LoggedEvent) => boolean,
  { after, limit }: { after: number; limit: number },
): Promise<{ found: Delivery[]; next: number }> {
  const attempts = new Map(tried.map(({ position, ...rest }) => [position, rest]))
  const found: Delivery[] = []
  const take = (event: LoggedEvent) => {
    const { position, type, at, destination } = event
    const { attempts: count = 0, lastStatus = null, lastError = null, lastAttemptAt = 0 } = attempts.get(position) ?? {}
    found.push({ position, type, at, destination, attempts: count, lastStatus, lastError, lastAttemptAt, state: 'pending' })
  }
  for (const old of again.filter(old => old > after)) {
    const [event] = (await log.read(account, old - 1, 1)).events
    if (event?.position === old && wants(event)) take(event)
  }
  let read = Math.max(position, after)
  for (let page = 0; page < mostPages && found.length <= limit; page++) {
    const { events, mark } = await log.read(account, read, pageEvents)
    for (const event of events) if (!done.includes(event.position) && wants(event)) take(event)
    read = events.at(-1)?.position ?? read
    if (!mark || events.length === 0 || read >= mark.last) return { found, next: Number.POSITIVE_INFINITY }
  }
  return { found, next: read }
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
