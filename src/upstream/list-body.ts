import { hash } from 'node:crypto'
import { allows, type ChatLimit, normalizeDestination } from '../access.ts'
import { instantOf } from '../afilnet/datetime.ts'
import { type Opened, openEnvelope } from '../afilnet/envelope.ts'
import { type ForeignField, failures, UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import { directionOf, type Item, readExtra, readSent, readText } from '../afilnet/row.ts'
import { unreadable } from '../afilnet/unreadable.ts'
import { shapeOf } from '../lib/json-shape.ts'
import { version } from '../version.ts'

/** What decides how an answer looks to a caller, beside its rows. */
export type ViewOptions = {
  timezone?: string | undefined
  /** The chats of the caller, if it is limited to some. */
  chats?: readonly ChatLimit[] | undefined
  /** The parameters of the call, by Afilnet's names: every row is compared with them. */
  asked: Asked
  /** Rows may name another destination than the one asked for, where the caller is not limited to certain chats. */
  rows?: 'destination-open' | undefined
  /** Afilnet's `sent` is not taken to say who wrote a message. */
  sent?: 'ignore' | undefined
  /** A list may be small on the wire and large as a body. */
  maxBodyBytes: number
}

type Asked = { [K in 'platform' | 'platformid' | 'destination']?: string | undefined }

/** The finished body of a list, its ETag, and how many items of Afilnet's list it leaves out because they are no rows. */
export type Body = { body: Uint8Array; etag: string; skipped: number }

/**
 * Reads Afilnet's bytes and writes what callers get.
 *
 * Throws an `UpstreamError` if they are no result, or if a row belongs to another chat than the one asked for: then the answer may be
 * another request's.
 */
export function render(operation: Operation, bytes: Uint8Array, view: ViewOptions): Omit<Body, 'etag'> {
  const { items, skipped } = open(operation, bytes, view)
  const list = write(operation, items, view)
  return { body: list.body, skipped: skipped + list.skipped }
}

/** Reads Afilnet's bytes as the items that callers get; throws like `render`. */
export function readList(operation: Operation, bytes: Uint8Array, view: ViewOptions) {
  const { items, skipped } = open(operation, bytes, view)
  const list = operation.kind === 'channels' ? channels(items, view) : messages(items, view, operation)
  return { items: list.items, skipped: skipped + list.skipped }
}

function open(operation: Operation, bytes: Uint8Array, { maxBodyBytes }: ViewOptions): Opened {
  const maxItems = maxBodyBytes / minItemBytes[operation.kind]
  if (bytes.length > alwaysParsedBytes) checkShape(operation, bytes, maxItems)
  const opened = openEnvelope(operation, bytes)
  if (opened.items.length > maxItems) throw new UpstreamError(failures.responseTooLarge, operation)
  return opened
}

/** Writes a long list in slices: all of its rows and its text would otherwise lie in memory beside its body. */
function write(operation: Operation, items: readonly Item[], view: ViewOptions) {
  const { maxBodyBytes } = view
  const select = operation.kind === 'channels' ? channels : messages
  if (items.length <= sliceItems) {
    const list = select(items, view, operation)
    const body = Buffer.from(JSON.stringify({ items: list.items }))
    if (body.length > maxBodyBytes) throw new UpstreamError(failures.responseTooLarge, operation)
    return { body, skipped: list.skipped }
  }
  const parts: Buffer[] = []
  let size = 0
  let skipped = 0
  for (let from = 0; from < items.length; from += sliceItems) {
    const list = select(items.slice(from, from + sliceItems), view, operation)
    skipped += list.skipped
    if (list.items.length === 0) continue
    const part = Buffer.from(`${size === 0 ? '' : ','}${JSON.stringify(list.items).slice(1, -1)}`)
    parts.push(part)
    size += part.length
    if (size + around > maxBodyBytes) throw new UpstreamError(failures.responseTooLarge, operation)
  }
  return { body: Buffer.concat([Buffer.from(opening), ...parts, Buffer.from(closing)], size + around), skipped }
}

const sliceItems = 500
const [opening, closing] = ['{"items":[', ']}'] as const
const around = opening.length + closing.length

/** What an item without any value takes in a body: rows of `{}` grow fortyfold. */
const minItemBytes = { channels: 50, messages: 147, send: 1 }
const alwaysParsedBytes = 65_536
const rowDepth = 4 // in the envelope, its result and the list
const maxDepth = 70 // the reader's own bound of 64 for an item, and what is around it

/** Objects and arrays of fewer bytes than this on average are not what a list of rows has. */
const minStructureBytes = 32

/** Parsing takes memory: a megabyte of brackets a hundred, the rows of a megabyte of `{}` twenty, empty arrays inside a row as many. */
function checkShape(operation: Operation, bytes: Uint8Array, maxItems: number) {
  const { depth, items, structures } = shapeOf(bytes, rowDepth)
  if (depth > maxDepth) throw unreadable({ operation, bytes }, 'nested too deep')
  if (items > maxItems || structures > bytes.length / minStructureBytes) throw new UpstreamError(failures.responseTooLarge, operation)
}

const viewTags = new Map<string, string>() // one for each time zone and list of chats in the configuration

/** The ETag of what is made of an answer: another view, or another release, may make another body of the same bytes. */
export function etagOf(digest: string, key: string, { timezone = '', sent }: ViewOptions): string {
  const view = `${timezone} ${sent ?? ''} ${key}`
  let tag = viewTags.get(view)
  if (tag === undefined) {
    tag = hash('sha256', `${version} ${view}`, 'base64url').slice(0, 8)
    viewTags.set(view, tag)
  }
  return `"${digest}${tag}"`
}

export type ChannelItem = { platform: string; platformId: string; name: string | null }

function channels(rows: readonly Item[], { chats }: ViewOptions) {
  const items: ChannelItem[] = []
  let skipped = 0
  for (const row of rows) {
    const platform = readText(row.platform)
    const platformId = readText(row.platformid)
    if (platform === null || platformId === null) skipped++
    else if (allows(chats, platform.trim().toLowerCase(), platformId.trim())) items.push({ platform, platformId, name: readText(row.name) })
  }
  return { items, skipped }
}

function messages(rows: readonly Item[], { timezone, chats, asked, rows: compareRows, sent }: ViewOptions, operation: Operation) {
  const compared = compareRows === 'destination-open' && chats === undefined ? { ...asked, destination: undefined } : asked
  const items = []
  for (const row of rows) {
    const foreignField = foreignFieldOf(row, compared)
    if (foreignField) throw new UpstreamError(failures.invalidResponse, { safe: operation.safe, foreignField })
    items.push(message(row, timezone, sent))
  }
  return { items, skipped: 0 }
}

/** A message as callers get it. */
export type MessageItem = {
  platform: string | null
  platformId: string | null
  destination: string | null
  messageId: string | null
  message: string | null
  sent: boolean | null
  direction: 'in' | 'out' | null
  status: string | null
  datetime: string | null
  timestamp?: string
  extra?: Record<string, unknown>
}

function message(row: Item, timezone: string | undefined, ignored: ViewOptions['sent']) {
  const datetime = readText(row.datetime)
  const sent = readSent(row)
  const body: MessageItem = {
    platform: readText(row.platform),
    platformId: readText(row.platformid),
    destination: readText(row.destination),
    messageId: readText(row.messageid),
    message: readText(row.message),
    sent,
    direction: ignored ? null : directionOf(sent),
    status: readText(row.status),
    datetime,
  }
  const timestamp = instantOf(datetime, timezone)
  if (timestamp !== undefined) body.timestamp = timestamp
  const extra = readExtra('messages', row)
  if (extra) body.extra = extra
  return body
}

/** The first field by which a row belongs to another chat; what is absent or written in another way is not foreign. */
function foreignFieldOf({ platform, platformid, destination }: Item, asked: Asked): ForeignField | undefined {
  if (differs(platform, asked.platform, fold)) return 'platform'
  if (differs(platformid, asked.platformid, trim)) return 'platformId'
  if (differs(destination, asked.destination, asked.platform === 'whatsapp' ? number : trim)) return 'destination'
  return undefined
}

const trim = (text: string) => text.trim()
const fold = (text: string) => text.trim().toLowerCase()
const number = (text: string) => normalizeDestination('whatsapp', text.trim())

function differs(value: unknown, asked: string | undefined, normalize: (text: string) => string) {
  if (value === asked || asked === undefined || value === null || value === undefined) return false
  const text = readText(value)
  return text === null || normalize(text) !== normalize(asked)
}
