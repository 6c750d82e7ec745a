import { Type } from '@sinclair/typebox'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'

const rfc3339 = '^[0-9]{4}(-[0-9]{2}){2}[Tt][0-9]{2}(:[0-9]{2}){2}(\\.[0-9]{1,9})?([Zz]|(\\+|-)[0-9]{2}:[0-9]{2})$'
const time = (description: string, example: string) =>
  Type.Optional(Type.String({ pattern: rfc3339, maxLength: 40, description, examples: [example] }))

/** What the bodies of both POST routes have for the queue. */
export const queueFields = {
  sendAt: time('When to send it (RFC 3339), at most 30 days ahead', '2026-01-31T09:30:00Z'),
  expiresAt: time('After this it is not attempted; at most 31 days ahead; default: an hour after `sendAt` or now', '2026-01-31T10:30:00Z'),
}

/** The header that asks for the queue. */
export const prefer = Type.Optional(
  Type.String({ description: '`respond-async`: queue the send and answer 202', examples: ['respond-async'] }),
)

/** Encrypts what waits; nothing without QUEUE_KEY. */
export type Seal = ((sendId: string, text: string) => string) | undefined

type Queueable = { headers: { prefer?: string }; body: { sendAt?: string; expiresAt?: string } }

const maxAheadMs = 30 * 86_400_000
const maxWaitMs = 31 * 86_400_000 // the latest one has a day for its attempts
const usualMs = 3_600_000

/** Whether and until when a send waits. Throws `invalid-request` and `queue-not-enabled`. */
export function queueOf({ headers, body }: Queueable, params: object, seal: Seal) {
  const now = Date.now()
  const { sendAt, expiresAt } = body
  const isAsked = headers.prefer !== undefined && prefersAsync(headers.prefer)
  if (!isAsked && sendAt === undefined) {
    if (expiresAt !== undefined)
      throw invalidBody('/expiresAt', 'is only for queued sends: add `sendAt` or the header `Prefer: respond-async`')
    return undefined
  }
  const dueAt = sendAt === undefined ? now : instantOf('/sendAt', sendAt)
  const until = expiresAt === undefined ? Math.max(dueAt, now) + usualMs : instantOf('/expiresAt', expiresAt)
  if (dueAt > now + maxAheadMs) throw invalidBody('/sendAt', 'is more than 30 days ahead')
  if (until > now + maxWaitMs) throw invalidBody('/expiresAt', 'is more than 31 days ahead')
  if (sendAt !== undefined && until < dueAt) throw invalidBody('/expiresAt', 'is before `sendAt`')
  if (!seal) throw new Problem('queue-not-enabled')
  return { dueAt: Math.max(dueAt, now), expiresAt: until, seal: (id: string) => seal(id, JSON.stringify(params)) }
}

/** Whether `respond-async` is one of the preferences (RFC 7240): a word in quotes or among the parameters of another one is not. */
function prefersAsync(header: string): boolean {
  // A quote that nothing closes ends with the header, and blanks are trimmed first: looking for either again and again would take long.
  const unquoted = header.replace(/"(\\.|[^"\\])*("|\\?$)/g, text => (text === '""' ? text : 'quoted'))
  return unquoted.split(',').some(preference => /^respond-async(\s*=\s*"")?$/i.test(preference.split(';', 1).join().trim()))
}

function instantOf(pointer: string, text: string): number {
  const [day, hour, second] = [text.slice(0, 10), text.slice(11, 13), text.slice(17, 19)]
  const isLeap = second === '60' // the last second of a day of UTC; no clock here counts it
  const ms = Date.parse(isLeap ? `${text.slice(0, 17)}59${text.slice(19)}` : text) + (isLeap ? 1_000 : 0)
  const midnight = new Date(`${day}T00:00:00Z`)
  // Date.parse reads the 30th of February as a day in March, and hour 24 as the next day.
  const isDay = !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day) && hour !== '24'
  if (Number.isNaN(ms) || !isDay || (isLeap && ms % 86_400_000 >= 1_000)) throw invalidBody(pointer, 'is not a time that exists')
  return ms
}
