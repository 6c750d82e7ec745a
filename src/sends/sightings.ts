import { LRUCache } from 'lru-cache'
import { type Conversation, chatKeyOf } from '../store/store.ts'
import type { Sighting } from './match.ts'

/** A row with its text's digest, and Afilnet's word for its delivery. */
export type Seen = Sighting & { digest: string; status: string | null }

const maxConversations = 10_000
const maxRows = 100 // of one conversation
const maxAllRows = 100_000 // about 225 bytes each
const keepMs = 3_600_000

/**
 * The outgoing rows that were new in conversations that are watched. A send that ends later may be one of them.
 *
 * In memory only: what a process forgets proves nothing any more, and the send stays as it is.
 */
export class Sightings {
  readonly #seen: LRUCache<string, Seen[]>

  constructor(now: () => number) {
    const sizeCalculation = (rows: Seen[]) => Math.max(1, rows.length)
    this.#seen = new LRUCache({ max: maxConversations, maxSize: maxAllRows, sizeCalculation, ttl: keepMs, perf: { now } })
  }

  add(conversation: Conversation, rows: readonly Seen[]) {
    const key = chatKeyOf(conversation)
    const known = new Map((this.#seen.get(key) ?? []).map(row => [row.messageId, row]))
    for (const row of rows) known.set(row.messageId, both(row, known.get(row.messageId)))
    this.#seen.set(key, [...known.values()].slice(-maxRows))
  }

  of(conversation: Conversation): readonly Seen[] {
    return this.#seen.get(chatKeyOf(conversation)) ?? []
  }
}

/** A row is reported again if its events could not be stored; what was known at first still holds. */
const both = (row: Seen, first: Seen = row): Seen => ({
  ...row,
  absentAt: Math.max(row.absentAt, first.absentAt),
  newTo: Math.min(row.newTo, first.newTo),
  seenAt: Math.min(row.seenAt, first.seenAt),
})
