import { hash, randomBytes } from 'node:crypto'

/** Makes a caller's API key: 256 random bits behind a prefix that secret scanners can find, and the digest to configure. */
export function makeKey(): { key: string; sha256: string } {
  const key = `afgw_${randomBytes(32).toString('base64url')}`
  return { key, sha256: hash('sha256', key) }
}

if (import.meta.main) {
  const { key, sha256 } = makeKey()
  process.stdout.write(
    `The key, shown this once; give it to the caller:\n\n  ${key}\n\nThe row of the configuration; it cannot be turned back into the key:\n\n  GATEWAY_KEY_SHA256=${sha256}\n`,
  )
}
