import { existsSync } from 'node:fs'
import type { Observe } from '../events.ts'
import { type MediaLedger, mediaRows } from '../store/media.ts'
import type { MediaBytes } from './bytes.ts'
import type { MediaPlace } from './place.ts'

type SweeperOptions = {
  ledger: MediaLedger
  place: MediaPlace
  open: () => Promise<MediaBytes>
  observe: Observe
  now: () => number
}

const hourMs = 3_600_000
const pageRows = 1_000 // the ledger gives no more ids at a time

/**
 * Deletes expired files, and what one of the two stores has and the other does not: bytes without a row, a row without bytes. Both must be
 * an hour old, since a file that is being stored has one of them first. Bytes must have no row at two looks: another gateway may be
 * deleting them at the first.
 *
 * The returned function never rejects; what it cannot delete now it deletes the next time.
 */
export function createSweeper({ ledger, place, open, observe, now }: SweeperOptions): (isStart?: boolean) => Promise<void> {
  let sweptAt = Number.NEGATIVE_INFINITY
  let withoutRow = new Set<string>()

  async function sweepExpired() {
    let ids: string[]
    do {
      ids = await ledger.expired()
      if (ids.length === 0) return
      await ledger.remove(ids)
      const bytes = await open()
      for (const id of ids) await bytes.remove(id)
      observe('mediaSwept', { reason: 'expired', count: ids.length })
    } while (ids.length === pageRows)
  }

  async function sweepOrphans() {
    const before = now() - hourMs
    const bytes = await open()
    const written = new Set<string>() // first: a file that comes now is in neither
    const young = new Set<string>()
    for await (const { id, writtenAt } of bytes.list()) (writtenAt < before ? written : young).add(id)
    const lost: string[] = []
    for await (const { id, createdAt } of mediaRows(ledger)) {
      if (!written.delete(id) && !young.has(id) && createdAt < before) lost.push(id)
    }
    const orphans = [...written].filter(id => withoutRow.has(id))
    for (const id of orphans) await bytes.remove(id)
    withoutRow = written
    if (lost.length > 0) await ledger.remove(lost)
    if (orphans.length > 0) observe('mediaSwept', { reason: 'orphan', count: orphans.length })
    if (lost.length > 0) observe('mediaSwept', { reason: 'lost', count: lost.length })
  }

  return async (isStart = false) => {
    try {
      const mayHaveBytes = place.kind === 's3' ? !isStart : existsSync(place.path)
      if (!mayHaveBytes && (await ledger.usage()).files === 0) return // nothing is loaded for gateways without files
      await (await open()).tidy()
      await sweepExpired()
      if (Math.abs(now() - sweptAt) < hourMs / 2) return // the clock may have been set back
      await sweepOrphans()
      sweptAt = now()
    } catch (err) {
      const { code, name } = err as { code?: string; name?: string } // of the media store, or of the ledger
      observe('mediaSweepFailed', { fault: code ?? name ?? 'unknown' })
    }
  }
}
