import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'

/** Encrypts bodies that wait. What is sealed names its key, so that keys can be changed while sends wait. */
export type Sealer = {
  /** The names of the keys, the one that encrypts first. */
  names: readonly string[]
  seal(sendId: string, text: string): string
  /** Whether the key is known that this names. */
  knows(sealed: string): boolean
  /** Nothing if the key is not known, or if this is not what was sealed for the send. */
  open(sendId: string, sealed: string): string | undefined
}

const algorithm = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16

/** A sealer with these keys of 32 bytes; the first one encrypts. */
export function createSealer(keys: readonly Uint8Array[]): Sealer {
  const named = keys.map(key => [hash('sha256', key).slice(0, 8), key] as const)
  const [[name, first] = ['', new Uint8Array()]] = named
  const byName = new Map(named)
  return {
    names: named.map(([name]) => name),
    seal(sendId, text) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv(algorithm, first, iv).setAAD(Buffer.from(sendId))
      const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return `${name}.${Buffer.concat([iv, cipher.getAuthTag(), encrypted]).toString('base64url')}`
    },
    knows: sealed => byName.has(sealed.split('.')[0] ?? ''),
    open(sendId, sealed) {
      const [name = '', body = ''] = sealed.split('.')
      const key = byName.get(name)
      const bytes = Buffer.from(body, 'base64url')
      if (!key) return undefined
      try {
        const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
        decipher.setAAD(Buffer.from(sendId)).setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes))
        return decipher.update(bytes.subarray(ivBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8')
      } catch {
        return undefined
      }
    },
  }
}
