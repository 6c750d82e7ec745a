import type { OpenedStore, StoreOptions } from './adapter.ts'
import { openSqlite } from './sqlite/sqlite.ts'
import { StoreUrlError } from './store.ts'
import { expectedStoreUrl, readStoreUrl } from './url.ts'

/**
 * Opens the store that a URL names, as `readStoreUrl` has it.
 *
 * Resolves also while the store is out of order: `onState` tells, and its verbs reject until it heals. Only a store that must not be
 * touched rejects, with `StoreVersionError`.
 */
export async function openStore(url: string, options: StoreOptions): Promise<OpenedStore> {
  const place = readStoreUrl(url)
  if (!place) throw new StoreUrlError(`Expected ${expectedStoreUrl}`)
  if (place.kind === 'sqlite') return openSqlite({ ...options, path: place.path })
  const { openValkey } = await import('./valkey/valkey.ts') // most gateways have no need of it
  return openValkey(place, options)
}
