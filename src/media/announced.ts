import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../problem/problem.ts'
import type { MediaLedger } from '../store/media.ts'
import { known } from './known.ts'

/** What a form has beside its files, at most. */
const formBytes = 131_072

type Limits = { maxBytes: number; maxTotalBytes: number; ledger: MediaLedger }

/**
 * Checks the `Content-Length` of a form with up to `files` files: first against the limit per file, then against the room in the store.
 * If one file may exceed its limit, the form is read before the room counts: its error is then 413. Throws `payload-too-large` and `media-full`.
 */
export async function checkLength(headers: IncomingHttpHeaders, files: number, { maxBytes, maxTotalBytes, ledger }: Limits) {
  const announced = Number(headers['content-length'] ?? 0)
  if (announced > files * maxBytes + formBytes) {
    const [length, limit] = [announced, maxBytes].map(bytes => bytes.toLocaleString('en'))
    throw new Problem('payload-too-large', { detail: `The form has ${length} bytes; a file may have ${limit} (MEDIA_MAX_BYTES).` })
  }
  const { bytes } = await known(ledger.usage())
  if (announced <= maxBytes && bytes + announced - formBytes > maxTotalBytes) throw new Problem('media-full')
}
