import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'
import { type Fault, failures } from './faults.ts'

type Decode = (bytes: Buffer, options: { maxOutputLength: number }) => Buffer

const decoders: Record<string, Decode> = { gzip: gunzipSync, 'x-gzip': gunzipSync, deflate: inflate }

/** Some servers send the bare format of RFC 1951 where the name stands for that of RFC 1950. */
function inflate(bytes: Buffer, options: { maxOutputLength: number }) {
  return ((bytes[0] ?? 0) & 0x0f) === 8 ? inflateSync(bytes, options) : inflateRawSync(bytes, options)
}

/** Undoes a `Content-Encoding`; the limit is one on the result. Returns the fault if that cannot be done. */
export function decodeContent(bytes: Buffer, coding: string | string[] | undefined, maxOutputLength: number): Buffer | Fault {
  const name = String(coding ?? '')
    .trim()
    .toLowerCase()
  if (name === '' || name === 'identity') return bytes
  const decode = Object.hasOwn(decoders, name) ? decoders[name] : undefined
  if (!decode) return failures.invalidResponse
  try {
    return decode(bytes, { maxOutputLength })
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? failures.responseTooLarge : failures.invalidResponse // zlib throws nothing else
  }
}
