import { hash, randomBytes } from 'node:crypto'

/** Makes a caller's API key: 256 random bits behind a prefix that secret scanners can find, and the digest to configure. */
export function makeKey(): { key: string; sha256: string } {
  const key = `afgw_${randomBytes(32).toString('base64url')}`
  return { key, sha256: hash('sha256', key) }
}
