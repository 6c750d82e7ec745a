import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'

/** The password of the sandbox, which no real account has. */
export const sandboxPassword = 'fake-sandbox-password'

/** The client secret of the sandbox, likewise. */
export const sandboxClientSecret = 'fake-sandbox-client-secret'

/** Values that people copy from examples, so they are not secret. */
const examples = new Set([
  'change-me',
  'changeme',
  'password',
  'secret',
  'your-password',
  'your_password',
  'afilnet_password',
  'example',
  'my-client-secret',
])

/** Whether a digest is made up, or that of an example. */
const isExampleDigest = (digest: string) =>
  /^(.)\1{63}$/.test(digest) || ['', 'AFILNET_PASSWORD', ...examples].some(key => hash('sha256', key) === digest)

/** What a shell, a template or an editor leaves behind where a value should be. */
const leftovers: [RegExp, string][] = [
  [/\$\{\w+(:?[-?+=][^}]*)?\}|^\$\(\w+\)$|^\{\{.*\}\}$/s, 'contains a placeholder of a template that was not replaced'],
  [/^<[^<>]+>$/s, 'is a placeholder such as <your password>, not a value'],
  [/^(["'`]).*\1$/s, 'is wrapped in quotes; remove them'],
  [/(\\r)?\\n$/, 'ends with \\n as two characters; remove them'],
  [/[\u200b-\u200d\u2060\ufeff\ufffd]/, 'contains an invisible or broken character'],
]

/** What is wrong with any text of the configuration, whatever it stands for. */
export const leftoverIn = (value: string): string | undefined => leftovers.find(([form]) => form.test(value))?.[1]

/** What is wrong with a password. */
export const passwordIssue = (password: string): string | undefined =>
  examples.has(password.trim().toLowerCase()) ? 'is the value of an example, not a real password' : leftoverIn(password)

/** What is wrong with the SHA-256 of an API key, which must not be quoted: it may be the key. */
export function digestIssue(digest: string): string | undefined {
  if (/^[0-9a-f]{64}$/.test(digest)) return isExampleDigest(digest) ? 'is the digest of an example, not of a real key' : undefined
  if (/^afgw_/.test(digest)) return 'is an API key; write its SHA-256 digest, which npm run key prints beside the key'
  if (/^[0-9a-f]{64}$/i.test(digest)) return 'has upper-case letters; write the digest in lower-case hex'
  if (/^sha-?256:/i.test(digest)) return 'has a prefix; write only the 64 hex digits'
  if (digest !== digest.trim()) return 'has blanks at its start or end; remove them'
  return undefined
}

/** The text of a file, or what is wrong with it. Other bytes would silently be read as another password. */
type TextFile = { text: string; issue?: never } | { text?: never; issue: string }
export type ReadFile = (path: string) => TextFile

/** Turns the bytes of a file into text. */
export function textOf(content: Buffer): TextFile {
  if (content.subarray(0, 4).includes(0)) return { issue: 'is UTF-16 or binary; save it as UTF-8' }
  if (!isUtf8(content)) return { issue: 'is not UTF-8' }
  const text = content.toString()
  return text.startsWith('\ufeff') ? { issue: 'starts with a byte order mark; save it as UTF-8 without one' } : { text }
}

/** Why a file could not be read. */
export function readIssue({ code }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EISDIR') return 'is a directory, not a file'
  return `cannot be read (${code})`
}

/** A secret from a file, without the newline at its end. */
export const withoutNewline = (text: string) => text.replace(/\r?\n$/, '')

/** Whether a list of secrets or digests contains one of them twice. */
export const hasDuplicate = (values: readonly (string | undefined)[]) => values.length > new Set(values).size
