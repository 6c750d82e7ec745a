import { openSqlite } from './sqlite.ts'
import { type Archive, type Store, type StoreListener, type StorePolicy, StoreUrlError } from './store.ts'

/** What every adapter needs to know. */
export type StoreOptions = StorePolicy & { maxBytes: number; onState?: StoreListener }

/**
 * Opens the store that a URL names: `sqlite:./relative/file`, `sqlite:/absolute/file` or `sqlite::memory:`.
 *
 * Resolves also while the store is out of order: `onState` tells, and its verbs reject until it heals. Only a file that must not be
 * touched rejects, with `StoreVersionError`.
 */
export async function openStore(url: string, options: StoreOptions): Promise<Store & Archive> {
  const path = /^sqlite:(?!\/\/)(.+)$/s.exec(url)?.[1]
  if (!path) throw new StoreUrlError('Expected sqlite:./file, sqlite:/absolute/file or sqlite::memory:')
  return openSqlite({ ...options, path })
}
