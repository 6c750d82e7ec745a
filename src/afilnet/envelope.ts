import { isAscii } from 'node:buffer'
import { isObject } from '../lib/is-object.ts'
import { isLarge, quoteLargeNumbers } from '../lib/json-large-numbers.ts'
import { type JsonMember, membersOf } from '../lib/json-members.ts'
import { failures, faults, UpstreamError } from './faults.ts'
import type { Operation, Row } from './operations.ts'
import { type Item, readRow } from './row.ts'
import { unreadable } from './unreadable.ts'

/** The items of an answer's list in Afilnet's order, and how many others were skipped because they are not objects. */
export type Opened = { items: Item[]; skipped: number }

type RawResponse = { operation: Operation; bytes: Uint8Array; text: string }

const utf8 = new TextDecoder('utf-8', { fatal: true }) // drops a byte order mark
const maxDepth = 64
const plainStart = '{"status":"SUCCESS","result":{"list":'

/**
 * Reads the one shape that all answers share: `{status, result}` or `{status, error}`. Throws an `UpstreamError` if it is no success.
 *
 * Afilnet answers HTTP 200 to failed calls, so only this shape tells success from failure.
 */
export function openEnvelope(operation: Operation, bytes: Uint8Array): Opened {
  const answer = { operation, bytes, text: toWellFormed(decode(operation, bytes)) }
  const opened = open(answer)
  // A double cannot hold every id of 16 digits or more: where one came along, all is read again with its digits kept as text.
  if (!holdLarge(answer, opened.items)) return opened
  opened.items = [] // not in memory twice
  return open({ ...answer, text: quoteLargeNumbers(answer.text) })
}

/** The same, as rows in Afilnet's words. */
export const readRows = <O extends Operation>(operation: O, bytes: Uint8Array) =>
  openEnvelope(operation, bytes).items.map(item => readRow(operation, item)) as Row<O>[] // readRow follows `row` by name

function open(answer: RawResponse): Opened {
  const items = plainItems(answer) ?? itemsOf(answer)
  const rows = items.every(isObject) ? items : items.filter(isObject)
  // Rows in a form that is not read must not pass for a conversation without messages.
  if (rows.length === 0 && !items.every(isNothing)) throw unreadable(answer, 'no list')
  return { items: rows, skipped: items.length - rows.length }
}

/** The list of an answer in its usual form. What begins and ends so, with one valid array between, cannot repeat a name. */
function plainItems({ operation, text }: RawResponse): unknown[] | undefined {
  if (operation.kind === 'send' || !text.startsWith(plainStart) || !text.endsWith('}}')) return undefined
  try {
    const list: unknown = JSON.parse(text.slice(plainStart.length, -2))
    return Array.isArray(list) ? list : undefined
  } catch {
    return undefined
  }
}

/** The list of an answer in any other form that stands for one. */
function itemsOf(answer: RawResponse): unknown[] {
  const { operation, text } = answer
  const envelope = parse(answer, text)
  if (!isObject(envelope)) throw unreadable(answer, 'not an object')
  const members = membersOf(text)
  if (repeats(members, 'status', 'error', 'result')) throw unreadable(answer, 'a repeated name')
  const status = typeof envelope.status === 'string' ? envelope.status.trim().toUpperCase() : undefined
  if (status === 'ERROR') throw refusal(operation, envelope.error)
  if (status !== 'SUCCESS') throw unreadable(answer, 'no usable status')
  const { result } = envelope
  if (operation.kind === 'send' || isNothing(result)) return []
  if (!isObject(result)) throw unreadable(answer, 'no list')
  const inner = membersOf(text, members.find(({ name }) => name === 'result')?.from)
  if (repeats(inner, 'list')) throw unreadable(answer, 'a repeated name')
  const { list } = result
  if (isNothing(list)) return []
  if (Array.isArray(list)) return list
  // An object with a row's own fields is a row without a list around it.
  if (!isObject(list) || operation.row.some(name => Object.hasOwn(list, name))) throw unreadable(answer, 'no list')
  const byKey = membersOf(text, inner.find(({ name }) => name === 'list')?.from)
  return byKey.map(({ from, to }) => parse(answer, text.slice(from, to)))
}

/** Nothing, in each of PHP's ways of saying so. */
const isNothing = (value: unknown) =>
  value === undefined || value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0)

const repeats = (members: readonly JsonMember[], ...names: string[]) =>
  names.some(wanted => members.filter(({ name }) => name === wanted).length > 1)

/** The error for a code of Afilnet's, known or not. */
export function refusal({ safe }: Operation, error: unknown): UpstreamError {
  const text = typeof error === 'string' ? error.trim() : ''
  const known = text.toUpperCase().replace(/\s+/g, '_')
  if (Object.hasOwn(faults, known)) return new UpstreamError(faults[known as keyof typeof faults], { safe, upstreamCode: known })
  return new UpstreamError(failures.unknownError, { safe, upstreamCode: codeOf(text) })
}

/** A code that the manual does not list. A sentence is none, nor is a long number: they may quote the request, even its password. */
export const codeOf = (text: string) => (/^[A-Z0-9_]{1,64}$/.test(text) && !/\d{7}/.test(text) ? text : undefined)

function decode(operation: Operation, bytes: Uint8Array): string {
  // PHP escapes what is not ASCII.
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  try {
    return utf8.decode(bytes)
  } catch {
    throw unreadable({ operation, bytes }, 'not UTF-8')
  }
}

function parse(answer: RawResponse, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadable(answer, 'not JSON') // never the parser's message: it quotes the answer
  }
}

/** Whether the rows hold a number that a double cannot; throws if one is nested too deep for what comes after. */
function holdLarge(answer: RawResponse, items: readonly Item[]): boolean {
  let found = false
  for (const item of items) if (holdsLarge(answer, item, 1)) found = true
  return found
}

function holdsLarge(answer: RawResponse, structure: Item, depth: number): boolean {
  if (depth > maxDepth) throw unreadable(answer, 'nested too deep')
  let found = false
  for (const name in structure) {
    const value = structure[name]
    if (typeof value === 'string') continue // nearly always, in a loop that takes part in every read
    if (typeof value === 'number') found ||= isLarge(value)
    else if (typeof value === 'object' && value !== null) found = insideHoldsLarge(answer, value, depth) || found
  }
  return found
}

/** The names of an array would be made for the loop, and take more memory than what is in it. */
function insideHoldsLarge(answer: RawResponse, value: object, depth: number): boolean {
  if (!Array.isArray(value)) return holdsLarge(answer, value as Item, depth + 1)
  if (depth >= maxDepth) throw unreadable(answer, 'nested too deep')
  let found = false
  for (const inner of value) {
    if (typeof inner === 'number') found ||= isLarge(inner)
    else if (typeof inner === 'object' && inner !== null) found = insideHoldsLarge(answer, inner, depth + 1) || found
  }
  return found
}

const halves = /\\\\|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[dD][89a-fA-F][\da-fA-F]{2}/g

/** In JSON, halves of surrogate pairs, which UTF-8 cannot carry, become U+FFFD; only an escape can write one. */
function toWellFormed(json: string): string {
  if (!json.includes('\\ud') && !json.includes('\\uD')) return json
  return json.replace(halves, match => (match.length === 6 ? '\\ufffd' : match))
}
