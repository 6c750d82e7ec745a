import { isUtf8 } from 'node:buffer'
import type { Operation } from '../../afilnet/operations.ts'
import { isObject } from '../../lib/is-object.ts'

/** What an answer can be asked about its form. */
export type Question =
  | 'encoding'
  | 'body'
  | 'status'
  | 'result'
  | 'list'
  | 'rows'
  | 'order'
  | 'field'
  | 'sent'
  | 'datetime'
  | 'platform'
  | 'extra'

/** One property of an answer's form, never a value that a person chose; `of` names the field. */
export type Observation = { question: Question; of?: string; seen: string }

type RawRow = Record<string, unknown>

/** Replaces a name or word that a program would not write, so it may be personal. */
const unshown = '(not shown)'

/**
 * Takes the answer of an operation apart, whether or not the reader would take it.
 *
 * Not made of the reader's own parts: where the two disagree, one of them is wrong.
 */
export function describeShape({ row }: Operation, bytes: Uint8Array): Observation[] {
  const text = Buffer.from(bytes).toString()
  const marked = text.startsWith('\uFEFF')
  const encoding = isUtf8(bytes) ? (marked ? 'UTF-8 with a byte order mark' : 'UTF-8') : 'not UTF-8'
  const envelope = parse(marked ? text.slice(1) : text)
  const body = envelope === undefined ? formOf(text) : `JSON, ${isObject(envelope) ? 'object' : kindOf(envelope)}`
  const outside: Observation[] = [
    { question: 'encoding', seen: encoding },
    { question: 'body', seen: body },
  ]
  if (!isObject(envelope)) return outside
  const status: Observation = { question: 'status', seen: caseOf(envelope.status) }
  if (/^error$/i.test(String(envelope.status))) return [...outside, status]
  return [...outside, status, { question: 'result', seen: kindOf(envelope.result) }, ...describeList(row, envelope.result)]
}

function describeList(fields: readonly string[], result: unknown): Observation[] {
  if (!isObject(result)) return []
  const items = typeof result.list === 'object' ? Object.values(result.list ?? {}) : []
  const rows = items.filter(isObject)
  const stray = rows.length < items.length ? ' with items that are no rows' : ''
  return [
    { question: 'list', seen: kindOf(result.list) + stray },
    { question: 'rows', seen: String(rows.length) },
    ...['datetime', 'messageid'].flatMap(of => orderOf(rows, of)),
    ...rows.flatMap(row => describeRow(fields, row)),
  ]
}

function describeRow(fields: readonly string[], row: RawRow): Observation[] {
  const carriesSent = fields.includes('sent')
  const known = carriesSent ? [...fields, 'issent'] : fields
  return [
    ...fields.filter(name => name !== 'sent').map(of => ({ question: 'field' as const, of, seen: kindOf(row[of]) })),
    ...(carriesSent ? [{ question: 'sent' as const, seen: sentOf(row) }] : []),
    ...(fields.includes('datetime') ? [{ question: 'datetime' as const, seen: formatOf(row.datetime) }] : []),
    ...(typeof row.platform === 'string' ? [{ question: 'platform' as const, seen: platformName(row.platform) }] : []),
    ...Object.entries(row)
      .filter(([name]) => !known.includes(name))
      .map(([name, value]) => ({ question: 'extra' as const, of: named(name, /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/), seen: kindOf(value) })),
  ]
}

/** A word that a program would write; one of digits alone could be a person's number. */
const named = (word: string, form: RegExp) => (form.test(word) ? word : unshown)

/** A platform as it may be shown. */
export const platformName = (platform: string) => named(platform, /^[a-z][a-z0-9_-]{0,31}$/)

/** The type of a JSON value, in more words than JavaScript has. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'empty array' : 'array'
  if (isObject(value)) return kindOfObject(Object.keys(value))
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value) ? 'number beyond 2^53' : 'number'
  if (typeof value !== 'string') return typeof value
  return value === '' ? 'empty string' : /^-?\d+(\.\d+)?$/.test(value) ? 'numeric string' : 'string'
}

function kindOfObject(names: string[]) {
  if (names.length === 0) return 'empty object'
  if (names.every((name, index) => name === String(index))) return 'object keyed by index'
  return names.every(name => /^\d+$/.test(name)) ? 'object keyed by numbers' : 'object'
}

/** What a body is that is not JSON. */
function formOf(text: string) {
  if (text.trim() === '') return 'nothing'
  return /^\s*</.test(text) ? 'not JSON, looks like HTML or XML' : 'not JSON'
}

const cases: readonly (readonly [RegExp, string])[] = [
  [/^(SUCCESS|ERROR)$/, 'upper case'],
  [/^(success|error)$/, 'lower case'],
  [/^(success|error)$/i, 'mixed case'],
]

const caseOf = (status: unknown) =>
  typeof status === 'string' ? (cases.find(([form]) => form.test(status))?.[1] ?? 'another word') : kindOf(status)

/** `sent "1"`, `issent true`: the name that carries a value, and the value where it is one that a boolean could have. */
function sentOf(row: RawRow) {
  const name = ['sent', 'issent'].find(name => (row[name] ?? null) !== null)
  if (!name) return 'sent' in row || 'issent' in row ? 'null' : 'missing'
  const written = JSON.stringify(row[name])
  return `${name} ${/^("?)(0|1|true|false)\1$/i.test(written) ? written : kindOf(row[name])}`
}

/** The manual's name of its format, or digits and what stands between them; every digit becomes a 9. */
function formatOf(datetime: unknown) {
  if (typeof datetime !== 'string' && typeof datetime !== 'number') return kindOf(datetime)
  const shape = String(datetime).replace(/\d/g, '9')
  if (shape === '9999-99-99 99:99:99') return 'yyyy-mm-dd hh:mm:ss'
  return /^9[9 :./,+TZ-]{0,39}$/.test(shape) ? shape : kindOf(datetime)
}

/** How the rows of one list follow each other by one field; `undefined` if that cannot be seen. */
function orderOf(rows: readonly RawRow[], of: string): Observation[] {
  const values = rows.map(row => row[of])
  const comparable = values.map(value => (of === 'messageid' && /^\d{1,40}$/.test(String(value)) ? BigInt(String(value)) : value))
  const [first] = comparable
  const one = typeof first
  if (rows.length < 2 || !/^(string|number|bigint)$/.test(one) || comparable.some(value => typeof value !== one)) return []
  const signs = new Set(comparable.slice(1).map((value, index) => compare(comparable[index], value)))
  const direction = signs.has(-1) ? 'ascending' : signs.has(1) ? 'descending' : 'all the same'
  return [{ question: 'order', of, seen: signs.has(-1) && signs.has(1) ? 'in no order' : direction }]
}

function compare(a: unknown, b: unknown) {
  const [left, right] = [a, b] as [string, string] // or two bigints or numbers, which compare alike
  return left < right ? -1 : left > right ? 1 : 0
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
