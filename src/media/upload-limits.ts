import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../problem/problem.ts'
import type { MediaLedger } from '../store/media.ts'
import { inTime } from './in-time.ts'

const maxUploads = 64

/** What a form has beside its files, at most. */
const formBytes = 131_072

type Limits = { maxBytes: number; maxTotalBytes: number; ledger: MediaLedger }

/** Whether a form may be a repetition, which gets its result although the store is full or away. */
export const isKeyed = (headers: IncomingHttpHeaders) => headers['idempotency-key'] !== undefined

/**
 * Checks the `Content-Length` of a form with up to `files` files: first against the limit per file, then against the room in the store.
 * If one file may exceed its limit, the form is read before the room counts: its error is then 413. A form that may be a repetition is read, too. Throws `payload-too-large` and `media-full`.
 */
export async function checkLength(headers: IncomingHttpHeaders, files: number, { maxBytes, maxTotalBytes, ledger }: Limits) {
  const announced = Number(headers['content-length'] ?? 0)
  if (announced > files * maxBytes + formBytes) {
    const [length, limit] = [announced, maxBytes].map(bytes => bytes.toLocaleString('en'))
    throw new Problem('payload-too-large', { detail: `The form has ${length} bytes; a file may have ${limit} (MEDIA_MAX_BYTES).` })
  }
  if (isKeyed(headers)) return
  const { bytes } = await inTime(ledger.usage())
  if (announced <= maxBytes && bytes + announced - formBytes > maxTotalBytes) throw new Problem('media-full')
}

/** Bounds the uploads at a time, and gives no caller more than half of them. The returned function throws `overloaded`, or returns what frees the slot, once. */
export function createUploadSlots(): (caller: string) => () => void {
  const taken = new Map<string, number>()
  let all = 0
  return caller => {
    const own = taken.get(caller) ?? 0
    if (all >= maxUploads || own >= maxUploads / 2) throw new Problem('overloaded', { detail: 'Too many files arrive at this time.' })
    taken.set(caller, own + 1)
    all++
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      all--
      const left = (taken.get(caller) ?? 1) - 1
      if (left > 0) taken.set(caller, left)
      else taken.delete(caller)
    }
  }
}
