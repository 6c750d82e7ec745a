import { listLimits, shapeChoices } from './response-format.ts'
import { assertHeaders, faults } from './scripted-responses.ts'

export type Body = Record<string, unknown>
export type Rule = [expected: string, holds: (value: unknown) => boolean]

const isRecord = (value: unknown): value is Body => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown) => typeof value === 'string'
const isIn = (min: number, max: number) => (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max
const oneOf = (names: readonly string[]): Rule => [`one of ${names.join(', ')}`, value => names.some(name => name === value)]

const text: Rule = ['a string', isText]
const texts: Rule = ['an array of strings', value => Array.isArray(value) && value.every(isText)]
const duration: Rule = ['milliseconds from 0 to 3600000', isIn(0, 3_600_000)]
const count: Rule = ['an integer from 0 to 1000000', isIn(0, 1_000_000)]
const yesOrNo: Rule = ['true or false', value => typeof value === 'boolean']
const channel = { platform: text, platformid: text }
const chat = { ...channel, destination: text }
const seconds: Rule = ['seconds from 0 to 1000000', isIn(0, 1_000_000)]
const headers: Rule = ['names and values that HTTP can carry', value => isRecord(value) && canCarry(value)]

/** What each body of the control surface may hold. */
export const rules = {
  answer: {
    times: ['an integer from 1', isIn(1, Number.MAX_SAFE_INTEGER)],
    method: text,
    destination: text,
    takes: yesOrNo,
    status: ['an HTTP status from 200 to 599', isIn(200, 599)],
    headers,
    body: text,
    bodyBase64: ['base64', value => isText(value) && /^[A-Za-z0-9+/]*={0,2}$/.test(String(value))],
    fault: oneOf(Object.keys(faults)),
    delayMs: duration,
  },
  shape: {
    ...(Object.fromEntries(Object.entries(shapeChoices).map(([name, choices]) => [name, oneOf(choices)])) as Record<string, Rule>),
    ...(Object.fromEntries(listLimits.map(name => [name, count])) as Record<string, Rule>),
    extra: ['an object', isRecord],
    omit: texts,
    nulls: texts,
  },
  tokens: { expiresInS: seconds, validForS: seconds },
  latency: { ms: duration },
  message: { ...chat, message: text, sent: yesOrNo, status: text, datetime: text, lateMs: duration },
  status: { ...chat, messageid: text, status: text },
  removal: { ...chat, messageid: text },
  conversations: { ...channel, conversations: count, messages: count },
  customers: { ...chat, replyAfterMs: duration, writeEveryMs: duration, texts, deliveredAfterMs: duration, readAfterMs: duration },
  channel: { ...channel, name: text },
  account: { user: text },
} satisfies Record<string, Record<string, Rule>>

function canCarry(headers: Body) {
  try {
    assertHeaders(headers as Record<string, string>) // it looks at the values itself
    return Object.values(headers).every(isText)
  } catch {
    return false
  }
}

/** All that is wrong with a body, never repeating a value of it. */
export function issuesIn(body: unknown, rules: Record<string, Rule>, required: readonly string[]): string[] {
  if (!isRecord(body)) return [`expected a JSON object with ${Object.keys(rules).join(', ')}`]
  const missing = required.filter(name => !Object.hasOwn(body, name)).map(name => `${name}: required`)
  const wrong = Object.entries(body).flatMap(([name, value]) => {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (!rule) return [`unknown property; the known properties are ${Object.keys(rules).join(', ')}`]
    return rule[1](value) ? [] : [`${name}: expected ${rule[0]}`]
  })
  return [...missing, ...wrong]
}
