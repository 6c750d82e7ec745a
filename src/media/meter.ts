import { createHash } from 'node:crypto'
import type { Draft } from './bytes.ts'

/** Of a file that the store did not take, so much is kept: enough to tell what most files are. */
const keptBytes = 16_384

/** Counts and hashes the bytes of a file, knows whether it is text, and keeps its beginning. */
export function createMeter() {
  const sha256 = createHash('sha256')
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const kept: Buffer[] = []
  let [bytes, isText] = [0, true]
  const decode = (chunk?: Buffer) => {
    try {
      if (isText) decoder.decode(chunk, { stream: chunk !== undefined })
    } catch {
      isText = false
    }
  }
  return {
    count(chunk: Buffer) {
      if (bytes < keptBytes) kept.push(chunk)
      bytes += chunk.length
      sha256.update(chunk)
      decode(chunk)
    },
    result() {
      decode()
      return { bytes, sha256: sha256.digest('hex'), isText }
    },
    /** Stands for a draft of bytes that have passed, but that the store did not take for this reason. */
    lostDraft(reason: unknown): Draft {
      const beginning = Buffer.concat(kept)
      return {
        async read(start, length) {
          if (start + length > beginning.length && beginning.length < bytes) throw reason
          return beginning.subarray(start, start + length)
        },
        commit: () => Promise.reject(reason),
        discard: async () => {},
      }
    },
  }
}
