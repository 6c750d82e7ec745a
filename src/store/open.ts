import type { EventStore } from './event-log.ts'
import type { MediaLedger } from './media.ts'
import { openSqlite } from './sqlite/sqlite.ts'
import { type Archive, type LedgerListener, type Store, type StoreListener, type StorePolicy, StoreUrlError } from './store.ts'
import { expectedStoreUrl, readStoreUrl } from './url.ts'

/** What every adapter needs to know; `onWarning` gets texts about what a crash could lose. */
export type StoreOptions = StorePolicy & {
  maxBytes: number
  onState?: StoreListener
  onLedger?: LedgerListener
  onWarning?: (warning: string) => void
}

/**
 * Opens the store that a URL names, as `readStoreUrl` has it.
 *
 * Resolves also while the store is out of order: `onState` tells, and its verbs reject until it heals. Only a store that must not be
 * touched rejects, with `StoreVersionError`.
 */
export async function openStore(url: string, options: StoreOptions): Promise<Store & Archive & EventStore & { media: MediaLedger }> {
  const place = readStoreUrl(url)
  if (!place) throw new StoreUrlError(`Expected ${expectedStoreUrl}`)
  if (place.kind === 'sqlite') return openSqlite({ ...options, path: place.path })
  const { openValkey } = await import('./valkey/valkey.ts') // most gateways have no need of it
  return openValkey(place, options)
}
