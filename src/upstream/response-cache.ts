import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Operation } from '../afilnet/operations.ts'
import { type Body, etagOf, render, type ViewOptions } from './list-body.ts'

/** An answer of Afilnet and the bodies that were made of it. */
export class CachedAnswer {
  readonly digest: string
  /** Each with its key; most answers have one. */
  readonly bodies: [key: string, Body][]
  readonly #bytes: Buffer
  readonly #outlivesRequest: boolean

  constructor(digest: string, bytes: Buffer, bodies: CachedAnswer['bodies'], outlivesRequest: boolean) {
    this.digest = digest
    this.#bytes = bytes
    this.bodies = bodies
    this.#outlivesRequest = outlivesRequest
  }

  /** What callers of this view get; throws an `UpstreamError` if the answer is no result for them. */
  bodyFor(operation: Operation, view: ViewOptions): Body {
    const key = keyOf(operation, view)
    for (const known of this.bodies) if (known[0] === key) return known[1]
    const { body, skipped } = render(operation, this.#bytes, view)
    // Where rows are left out, their digest would tell that they change, and whether a guess at them is right.
    const digest = key === '' ? this.digest : hash('sha256', body, 'base64url')
    // A small Buffer is a slice of Node's pool, of which it would keep 64 kB alive.
    const kept = { body: this.#outlivesRequest ? new Uint8Array(body) : body, skipped, etag: etagOf(digest, key, view) }
    this.bodies.push([key, kept])
    return kept
  }

  get size() {
    return this.#bytes.length
  }
}

/** What tells two bodies of one answer apart; the time zone is the account's and the parameters are the answer's. */
const keyOf = ({ kind }: Operation, { chats }: ViewOptions) => (kind === 'channels' && chats ? JSON.stringify(chats) : '')

/** What is known of one read: the digest of its latest answer, and what is shared. It outlives the requests for it. */
export class CacheEntry<F> {
  digest = ''
  /** Made of the latest answer, once it came twice: an answer that never comes again is not worth its memory. */
  bodies: CachedAnswer['bodies'] | undefined = undefined
  /** The read that is under way; emptied when it ends. */
  flight: F | undefined = undefined
  /** The number of writes that the read under way, and the answer, may have missed. */
  flightVersion = 0
  fresh: CachedAnswer | undefined = undefined
  freshVersion = 0
  freshUntil = 0
  /** As the cache has counted it. */
  size = emptySize
}

const maxBytes = 16_777_216 // of one account
const maxEntries = 10_000
const emptySize = 512

function sizeOf({ bodies, fresh }: CacheEntry<unknown>) {
  let size = emptySize + (fresh?.size ?? 0)
  const kept = fresh && fresh.bodies !== bodies ? [...(bodies ?? []), ...fresh.bodies] : (bodies ?? [])
  for (const [key, { body }] of kept) size += key.length + body.length
  return size
}

/**
 * The latest answer to each read of an account, as far as there is room: it saves parsing, and the call itself only with `READ_CACHE_MS`.
 *
 * `F` is what callers of a read under way wait for.
 */
export class ResponseCache<F> {
  readonly #entries = new LRUCache<string, CacheEntry<F>>({ max: maxEntries, maxSize: maxBytes, sizeCalculation: ({ size }) => size })
  readonly #freshMs: number

  constructor(freshMs: number) {
    this.#freshMs = freshMs
  }

  entryOf(key: string): CacheEntry<F> {
    let entry = this.#entries.get(key)
    if (!entry) {
      entry = new CacheEntry()
      this.#entries.set(key, entry)
    }
    return entry
  }

  /** An answer that came so short a time ago that it may be used again, and no write after it. */
  freshOf({ fresh, freshVersion, freshUntil }: CacheEntry<F>, version: number): CachedAnswer | undefined {
    return fresh && freshVersion === version && performance.now() < freshUntil ? fresh : undefined
  }

  /** An answer with the bodies of the latest one, if its bytes are the same. */
  reuseIfEqual(entry: CacheEntry<F>, bytes: Buffer): CachedAnswer {
    const digest = hash('sha256', bytes, 'base64url')
    if (digest === entry.digest) {
      entry.bodies ??= []
      return new CachedAnswer(digest, bytes, entry.bodies, true)
    }
    entry.digest = digest
    entry.bodies = undefined
    return new CachedAnswer(digest, bytes, [], this.#freshMs > 0)
  }

  /** Keeps what was made of an answer, and the answer itself for as long as it is fresh. */
  keep(key: string, entry: CacheEntry<F>, answer: CachedAnswer, version: number) {
    if (this.#freshMs > 0) {
      entry.fresh = answer
      entry.freshVersion = version
      entry.freshUntil = performance.now() + this.#freshMs
    }
    let size = sizeOf(entry)
    if (size > maxBytes / 8) {
      entry.bodies = entry.fresh = undefined
      size = emptySize
    }
    if (size === entry.size) return
    entry.size = size
    this.#entries.delete(key) // lru-cache keeps the former size of a value that is set again
    this.#entries.set(key, entry)
  }
}
