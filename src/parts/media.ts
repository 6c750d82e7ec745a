import type { Config } from '../config/config.ts'
import type { Observe } from '../events.ts'
import { repeat } from '../lib/repeat.ts'
import { Media } from '../media/media.ts'
import type { MediaLedger } from '../store/media.ts'

const sweepMs = 600_000

type MediaParts = {
  config: Config
  ledger: MediaLedger
  observe: Observe
  ownUrl: () => string | undefined
  timeouts: { uploadMs: number; stallMs: number }
}

/** Files of callers, swept at the start and every ten minutes from then on, one sweep at a time. */
export function startMedia({ config, ledger, observe, ownUrl, timeouts }: MediaParts): { media: Media; begin(): void; stop(): void } {
  const media = new Media({ ...config.media, ...timeouts, ledger, observe, ownUrl })
  let isStart = true
  let stop = () => {}

  function begin() {
    media.checkFolder().catch(() => {}) // what it finds it reports
    stop = repeat(sweepMs, async () => {
      await media.sweep(isStart)
      isStart = false
    })
  }

  return { media, begin, stop: () => stop() }
}
