import { hash } from 'node:crypto'
import { normalizeDestination } from '../access.ts'
import type { Channel, Message } from './ports.ts'

/** The row of each conversation in an answer of getchats; one without a destination cannot be read. */
export function rowsByDestination({ platform }: Channel, items: readonly Message[]): Map<string, Message> {
  const rows = new Map<string, Message>()
  for (const item of items) {
    const destination = normalizeDestination(platform, item.destination?.trim() ?? '')
    if (destination !== '') rows.set(destination, item)
  }
  return rows
}

/** Names all that a row shows, under a key: equal marks mean that getchats shows no change. It takes 2 µs. */
export function markOf({ messageId, sent, status, datetime, message }: Message, key: string): string {
  return hash('sha256', `${key} ${JSON.stringify([messageId, sent, status, datetime, message])}`, 'base64url').slice(0, 16)
}

/** The newest datetime; null if no row has one. */
export function newestOf(items: readonly Message[]): string | null {
  let newest: string | null = null
  for (const { datetime } of items) if (datetime !== null && (newest === null || datetime > newest)) newest = datetime
  return newest
}
