import type { EventStore } from './event-log.ts'
import type { MediaLedger } from './media.ts'
import type { Archive, LedgerListener, Store, StoreListener, StorePolicy } from './store.ts'

/** All that an adapter opens. */
export type OpenedStore = Store & Archive & EventStore & { media: MediaLedger }

/** What every adapter needs to know; `onWarning` gets texts about what a crash could lose. */
export type StoreOptions = StorePolicy & {
  maxBytes: number
  /** How long the store may say nothing while answers are due; then it counts as away. Every adapter knows what fits it. */
  silentMs?: number | undefined
  onState?: StoreListener
  onLedger?: LedgerListener
  onWarning?: (warning: string) => void
}
