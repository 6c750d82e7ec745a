const minCapacity = 4_096
const nothing = Buffer.alloc(0)

/**
 * Collects the chunks of a body in one growing buffer.
 *
 * They must not be kept: each is an object, and a body may consist of chunks of one byte. Only the first one is, since most bodies have no
 * second.
 */
export class CollectedBytes {
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
      if (size > this.#bytes.length) this.#grow(Math.max(size, Math.min(wanted, maxCapacity), minCapacity))
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
