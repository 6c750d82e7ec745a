import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../problem/problem.ts'
import type { MediaLedger } from '../store/media.ts'
import { known } from './known.ts'

/** What a form has beside its files, at most. */
const formBytes = 131_072

type Limits = { maxBytes: number; maxTotalBytes: number; ledger: MediaLedger }

/**
 * Judges the announced length of a form with so many files: first by the limit of a file, then by the room that is left. A form that
 * may have too large a file is read first, since no room would help it. Throws `payload-too-large` and `media-full`.
 */
export async function judgeLength(headers: IncomingHttpHeaders, files: number, { maxBytes, maxTotalBytes, ledger }: Limits) {
  const announced = Number(headers['content-length'] ?? 0)
  if (announced > files * maxBytes + formBytes) {
    const [length, limit] = [announced, maxBytes].map(bytes => bytes.toLocaleString('en'))
    throw new Problem('payload-too-large', { detail: `The form has ${length} bytes; a file may have ${limit} (MEDIA_MAX_BYTES).` })
  }
  const { bytes } = await known(ledger.usage())
  if (announced <= maxBytes && bytes + announced - formBytes > maxTotalBytes) throw new Problem('media-full')
}
