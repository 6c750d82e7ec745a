import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'
import { type Fault, failures } from './faults.ts'

const minCapacity = 4_096
const nothing = Buffer.alloc(0)

/**
 * Collects a response in one growing buffer.
 *
 * The chunks must not be kept: each is an object, and a response may consist of chunks of one byte. Only the first one is, since most
 * responses have no second.
 */
export class ResponseBody {
  size = 0
  /** The announced length; what comes may be shorter or longer. */
  expectedSize = 0
  #bytes: Buffer = nothing

  /** `maxCapacity` bounds what is set aside for bytes that have not come yet. */
  append(chunk: Buffer, maxCapacity: number) {
    const size = this.size + chunk.length
    if (this.size === 0) this.#bytes = chunk
    else {
      const wanted = this.expectedSize >= size ? this.expectedSize : 2 * size
      if (size > this.#bytes.length || this.size === this.#bytes.length)
        this.#grow(Math.max(size, Math.min(wanted, maxCapacity), minCapacity))
      chunk.copy(this.#bytes, this.size)
    }
    this.size = size
  }

  take(): Buffer {
    const bytes = this.size === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.size)
    this.clear()
    return bytes
  }

  clear() {
    this.#bytes = nothing
    this.size = 0
  }

  #grow(capacity: number) {
    const grown = Buffer.allocUnsafeSlow(capacity)
    this.#bytes.copy(grown, 0, 0, this.size)
    this.#bytes = grown
  }
}

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
