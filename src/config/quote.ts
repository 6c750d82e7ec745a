/** Texts too short for a secret, addresses, and pairs such as messages:read. */
const harmless = [/^[ -?A-~]{0,10}$/, /^[\d.:/[\]]{1,45}$/, /^[a-z]+:[a-z]+$/]

/** A value as a message may quote it. One that may be a secret in the wrong place stays "the value". */
export function quoted(value: unknown): string {
  if (typeof value === 'string') return harmless.some(form => form.test(value)) ? JSON.stringify(value) : 'the value'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.keys(value).length === 0 ? 'an empty object' : 'an object'
}

/** The message that a value is not what a schema expects. */
export const isNot = (value: unknown, expected: string) => `${quoted(value)} is not ${expected}`
