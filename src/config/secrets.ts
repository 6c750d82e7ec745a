import { hash } from 'node:crypto'

/** The password of the sandbox, which no real account has. */
export const sandboxPassword = 'fake-sandbox-password'

/** Values that people copy from examples; whoever reads the example knows them. */
const examples = new Set(['change-me', 'changeme', 'password', 'secret', 'your-password', 'AFILNET_PASSWORD', 'example'])

export const isExampleSecret = (secret: string) => examples.has(secret.trim()) || examples.has(secret.trim().toLowerCase())

/** Whether a digest is nobody's: a made-up one, or that of an example. */
export const isExampleDigest = (digest: string) =>
  /^(.)\1{63}$/.test(digest) || ['', ...examples].some(key => hash('sha256', key) === digest)

/** A secret as it lies in a file, without the one newline at its end. */
export const withoutNewline = (text: string | undefined) => text?.replace(/\r?\n$/, '')
