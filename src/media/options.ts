import type { Observe } from '../events.ts'
import type { MediaLedger } from '../store/media.ts'
import type { MediaPlace } from './place.ts'

type MediaConfig = { place: MediaPlace; maxBytes: number; maxTotalBytes: number; keepMs: number; url?: URL }

export type MediaOptions = MediaConfig & {
  ledger: MediaLedger
  /** Where this process listens: good enough for an Afilnet on the same machine. */
  ownUrl: () => string | undefined
  uploadMs?: number | undefined
  stallMs?: number | undefined
  observe?: Observe
  now?: () => number
}
