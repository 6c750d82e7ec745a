import { isObject } from '../lib/is-object.ts'
import { type Fault, failures, faults, UpstreamError } from './faults.ts'
import type { Operation, Row } from './operations.ts'

// A byte order mark is kept, so that JSON.parse refuses it: no Afilnet answer has one.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads the one shape that all answers share: `{status, result}` or `{status, error}`.
 *
 * Afilnet answers HTTP 200 to failed calls, so only this shape tells success from failure.
 */
export function readEnvelope<O extends Operation>(operation: O, bytes: Uint8Array): Row<O>[] {
  const text = decode(operation, bytes)
  const { rows, large } = readRows(operation, parse(operation, text))
  // A double cannot hold every id of 16 digits or more: where one came along, all is read again with its digits kept as text.
  return (large ? readRows(operation, parse(operation, text, keepDigits)).rows : rows) as Row<O>[] // readRow follows `row` by name
}

function readRows(operation: Operation, envelope: unknown) {
  const status = isObject(envelope) && typeof envelope.status === 'string' ? envelope.status.toUpperCase() : undefined
  if (isObject(envelope) && status === 'ERROR') throw refusal(operation, envelope.error)
  if (!isObject(envelope) || status !== 'SUCCESS') throw new UpstreamError(failures.invalidResponse, operation)
  const found = { rows: [] as Fields[], large: false }
  if (operation.kind === 'send') return found
  for (const item of list(operation, envelope.result)) found.rows.push(readRow(operation.row, item, found))
  return found
}

/** The error for a code of Afilnet's, known or not. */
export function refusal({ safe }: Operation, code: unknown): UpstreamError {
  if (typeof code !== 'string' || !/^[A-Z0-9_]{1,64}$/.test(code)) return new UpstreamError(failures.unknownError, { safe })
  const fault: Fault = Object.hasOwn(faults, code) ? faults[code as keyof typeof faults] : failures.unknownError
  return new UpstreamError(fault, { safe, upstreamCode: code })
}

function decode(operation: Operation, bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new UpstreamError(failures.invalidResponse, operation)
  }
}

function parse(operation: Operation, text: string, reviver?: typeof keepDigits): unknown {
  try {
    return JSON.parse(text, reviver)
  } catch {
    throw new UpstreamError(failures.invalidResponse, operation) // never the parser's message: it quotes the answer
  }
}

const isLarge = (value: unknown) => Number.isInteger(value) && !Number.isSafeInteger(value)

function holdsLarge(value: unknown): boolean {
  return typeof value === 'object' && value !== null ? Object.values(value).some(holdsLarge) : isLarge(value)
}

function keepDigits(_key: string, value: unknown, { source }: { source?: string } = {}) {
  return isLarge(value) && source && /^-?\d+$/.test(source) ? source : value
}

/** Nothing, in each of PHP's ways of saying so, is an empty list; an object keyed by index is a list too. */
function list(operation: Operation, result: unknown): Record<string, unknown>[] {
  const found = Array.isArray(result) && result.length === 0 ? null : (result ?? null)
  const inner = isObject(found) ? (found.list ?? []) : found === null ? [] : undefined
  const items = isObject(inner) ? Object.values(inner) : inner
  if (!Array.isArray(items) || !items.every(isObject)) throw new UpstreamError(failures.invalidResponse, operation)
  return items
}

type Fields = Record<string, unknown>

function readRow(fields: readonly string[], item: Fields, found: { large: boolean }): Fields {
  const row: Fields = {}
  const extra: [string, unknown][] = []
  const carriesSent = fields.includes('sent') || fields.includes('issent')
  for (const field of fields) if (field !== 'sent' && field !== 'issent') row[field] = readText(item[field])
  if (carriesSent) row.sent = readBoolean(item.sent ?? item.issent)
  for (const name of Object.keys(item)) {
    const value = item[name]
    const nested = typeof value === 'object' && value !== null
    if (nested || typeof value === 'number') found.large ||= holdsLarge(value)
    // A structure where the manual has a text is nothing that it names, so it is not thrown away either.
    const documented = fields.includes(name) || (carriesSent && (name === 'sent' || name === 'issent'))
    if (!documented || nested) extra.push([name, value])
  }
  if (extra.length > 0) row.extra = Object.fromEntries(extra)
  return row
}

function readText(value: unknown): string | null {
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : null
}

const booleans = new Map<unknown, boolean>([
  ...([true, 1, '1', 'true'] as const).map(word => [word, true] as const),
  ...([false, 0, '0', 'false'] as const).map(word => [word, false] as const),
])

function readBoolean(value: unknown): boolean | null {
  return booleans.get(typeof value === 'string' ? value.toLowerCase() : value) ?? null
}
