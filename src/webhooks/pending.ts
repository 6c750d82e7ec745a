import type { FailedDelivery } from '../store/deliveries.ts'
import type { EventLog, LoggedEvent } from '../store/event-log.ts'
import type { WebhookState } from './saved-state.ts'

/** A delivery that has not succeeded. */
export type Delivery = Omit<FailedDelivery, 'eventId'> & { eventId?: string; state: 'pending' | 'failed' }

const pageEvents = 200
const mostPages = 20 // what one answer looks at

/** The events after a position that wait for a webhook, from what it saved and from the log; `next` says how far it looked. */
export async function pendingDeliveries(
  log: EventLog,
  account: string,
  { position, done, again, tried }: WebhookState,
  wants: (event: LoggedEvent) => boolean,
  { after, limit }: { after: number; limit: number },
): Promise<{ found: Delivery[]; next?: number }> {
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
    if (!mark || events.length === 0 || read >= mark.last) return { found }
  }
  return { found, next: read }
}
