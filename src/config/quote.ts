/** Texts too short for a secret, and those in the form of something else. */
const harmless = [
  /^[ -?A-~]{0,10}$/,
  /^[\d.:/[\]]{1,45}$/, // an address
  /^[a-z]+:[a-z]+$/, // a scope
  /^[A-Z][a-z]{2,9}(\/[A-Z][a-z]{2,12}(_[A-Z][a-z]{2,12})?){1,2}$/, // a time zone
  /^(webchat|whatsapp|telegram|operator)\/(?!.*\d{7})[\w*+./-]{0,40}$/i, // a pattern of chats, without a whole number
  /^https?:\/\/([a-z\d-]{1,30}\.){1,4}[a-z]{2,10}(:\d{1,5})?\/?$/, // an origin
]

/** A value as a message may quote it. One that may be a secret in the wrong place stays "the value". */
export function quoted(value: unknown): string {
  if (typeof value === 'string') return harmless.some(form => form.test(value)) ? JSON.stringify(value) : 'the value'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.keys(value).length === 0 ? 'an empty object' : 'an object'
}

/** The message that a value is not what a schema expects. */
export const isNot = (value: unknown, expected: string) => `${quoted(value)} is not ${expected}`
