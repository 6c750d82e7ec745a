import { createHash, hash } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'

const boundary = 'fake-boundary-0123456789'

/** The file of a scenario: the same bytes for the same name, a few kilobytes, and one in twenty a few hundred. */
export function fileOf(name: string): Buffer {
  const [kind = 0, high = 0, low = 0] = createHash('sha256').update(name).digest()
  const size = 1 + ((high << 8) | low) * (kind < 13 ? 8 : 1 / 8)
  return createHash('shake256', { outputLength: Math.floor(size) })
    .update(name)
    .digest()
}

export const sha256 = (bytes: Uint8Array) => hash('sha256', bytes)

/** The form in which an upload travels. */
export function formOf(name: string): { body: Buffer; contentType: string } {
  const part = (disposition: string) => `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`
  const head = `${part('name="type"')}document\r\n${part(`name="file"; filename="${name}.bin"`)}`
  const body = Buffer.concat([Buffer.from(head), fileOf(name), Buffer.from(`\r\n--${boundary}--\r\n`)])
  return { body, contentType: `multipart/form-data; boundary=${boundary}` }
}

/** The first part of a body; the rest never comes, and its sender leaves once the signal says so. */
export function cutOff(body: Buffer, signal: AbortSignal, share: number): Readable {
  return Readable.from(
    (async function* () {
      yield body.subarray(0, Math.max(1, Math.floor(body.length * share)))
      if (!signal.aborted) await once(signal, 'abort')
    })(),
    { objectMode: false },
  )
}
