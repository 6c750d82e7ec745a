import type { Config } from '../config/config.ts'
import type { Observe } from '../events.ts'
import { Media } from '../media/media.ts'
import type { MediaLedger } from '../store/media.ts'

const sweepMs = 600_000

type MediaParts = {
  config: Config
  ledger: MediaLedger
  observe: Observe
  ownUrl: () => string | undefined
  timeouts: { uploadMs?: number | undefined; stallMs?: number | undefined } | undefined
}

/** Files of callers, swept at the start and every ten minutes from then on. */
export function startMedia({ config, ledger, observe, ownUrl, timeouts }: MediaParts): { media: Media; begin(): void; stop(): void } {
  const { uploadMs, stallMs } = timeouts ?? {}
  const media = new Media({ ...config.media, ledger, observe, ownUrl, uploadMs, stallMs })
  const timer = setInterval(() => void media.sweep(), sweepMs).unref()
  return { media, begin: () => void Promise.all([media.checkFolder(), media.sweep(true)]), stop: () => clearInterval(timer) }
}
