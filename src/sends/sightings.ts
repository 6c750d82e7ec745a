import { LRUCache } from 'lru-cache'
import type { Conversation } from '../store/store.ts'
import type { Sighting } from './match.ts'

/** A row with its text's digest, and Afilnet's word for its delivery. */
export type Seen = Sighting & { digest: string; status: string | null }

const maxConversations = 10_000
const maxRows = 100
const keepMs = 3_600_000

/**
 * The outgoing rows that were new in conversations that are watched. A send that ends later may be one of them.
 *
 * In memory only: what a process forgets proves nothing any more, and the send stays as it is.
 */
export class Sightings {
  readonly #seen: LRUCache<string, Seen[]>

  constructor(now: () => number) {
    this.#seen = new LRUCache({ max: maxConversations, ttl: keepMs, perf: { now } })
  }

  add(conversation: Conversation, rows: readonly Seen[]) {
    const key = keyOf(conversation)
    const news = new Set(rows.map(({ messageId }) => messageId))
    const known = (this.#seen.get(key) ?? []).filter(({ messageId }) => !news.has(messageId))
    this.#seen.set(key, [...known, ...rows].slice(-maxRows))
  }

  of(conversation: Conversation): readonly Seen[] {
    return this.#seen.get(keyOf(conversation)) ?? []
  }
}

const keyOf = ({ user, platform, platformId, destination }: Conversation) => JSON.stringify([user, platform, platformId, destination])
