import { LRUCache } from 'lru-cache'
import type { Body } from './list-body.ts'

/** An answer of Afilnet's with the bodies that were made of it, by how they look; `turn` ends when nobody reads the bytes. */
export type Answer = { bytes: Uint8Array; bodies: Map<string, Body>; turn: Promise<unknown> }

export const newAnswer = (bytes: Uint8Array): Answer => ({ bytes, bodies: new Map(), turn: Promise.resolve() })

/** The latest answer to each read, as far as there is room. */
export type RecentAnswers = {
  /** The latest answer if its bytes are these, so that what was made of it need not be made again; else a new one, which is kept. */
  same(key: string, bytes: Uint8Array): Answer
  /** An answer that came less than `freshMs` ago and was not forgotten. */
  fresh(key: string): Answer | undefined
  keepFresh(key: string, answer: Answer): void
}

const maxBytes = 16_777_216 // of one account
const maxEntries = 10_000

export function createRecentAnswers(freshMs: number): RecentAnswers {
  const size = ({ bytes, bodies }: Answer) => 2 * bytes.length + 1_024 + 256 * bodies.size // a body is about as large as its answer
  const limits = { max: maxEntries, maxSize: maxBytes, maxEntrySize: maxBytes / 8, sizeCalculation: size }
  const latest = new LRUCache<string, Answer>(limits)
  const fresh = freshMs > 0 ? new LRUCache<string, Answer>({ ...limits, ttl: freshMs }) : undefined
  return {
    same(key, bytes) {
      const known = latest.get(key)
      if (known && Buffer.compare(known.bytes, bytes) === 0) return known
      const answer = newAnswer(bytes)
      latest.set(key, answer)
      return answer
    },
    fresh: key => fresh?.get(key),
    keepFresh: (key, answer) => void fresh?.set(key, answer),
  }
}
