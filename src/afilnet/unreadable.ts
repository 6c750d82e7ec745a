import { isUtf8 } from 'node:buffer'
import { failures, type Unreadable, UpstreamError } from './faults.ts'
import type { Operation } from './operations.ts'

/** The error for an answer that is no result. */
export function unreadable({ operation: { safe }, bytes }: { operation: Operation; bytes: Uint8Array }, reason: Unreadable['reason']) {
  return new UpstreamError(failures.invalidResponse, { safe, unreadable: { reason, bytes: bytes.length, looks: looksOf(bytes) } })
}

/** What an answer is by its first bytes. */
function looksOf(bytes: Uint8Array): Unreadable['looks'] {
  const start = Buffer.from(bytes.subarray(0, 64))
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
  if (start === '') return bytes.length > 64 ? 'text' : 'empty'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells
  if (/[\0-\x08\x0e-\x1f]/.test(start) || !isUtf8(bytes)) return 'binary'
  if (start.startsWith('<')) return 'html'
  return /^[[{]/.test(start) ? 'json' : 'text'
}
