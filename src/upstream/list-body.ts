import { hash } from 'node:crypto'
import { allows } from '../access.ts'
import { instantOf } from '../afilnet/datetime.ts'
import { readEnvelope } from '../afilnet/envelope.ts'
import type { Operation, Row } from '../afilnet/operations.ts'

/** What decides how an answer looks to a caller, beside its rows. */
export type View = { timezone?: string | undefined; chats?: readonly string[] | undefined }

/** The finished body of a list, and its ETag. */
export type Rendered = { body: Uint8Array; etag: string }

/** Reads Afilnet's bytes and writes what callers get; throws an `UpstreamError` if they are no result. */
export function render(operation: Operation, bytes: Uint8Array, view: View): Rendered {
  const rows = readEnvelope(operation, bytes) as Fields[]
  const items = operation.kind === 'channels' ? channels(rows, view) : rows.map(row => message(row, view))
  const body = Buffer.from(JSON.stringify({ items }))
  return { body, etag: `"${hash('sha256', body, 'base64url')}"` }
}

/** A row of any list; the operation has decided which fields it has. */
type Fields = Row & Record<string, string | null> & { sent: boolean | null; extra?: Record<string, unknown> }

function channels(rows: readonly Fields[], { chats }: View) {
  const visible = rows.filter(({ platform, platformid }) => allows(chats, platform ?? null, platformid ?? null))
  return visible.map(({ platform, platformid, name }) => ({ platform, platformId: platformid, name }))
}

function message({ platform, platformid, destination, messageid, message, sent, status, datetime, extra }: Fields, { timezone }: View) {
  const timestamp = instantOf(datetime ?? null, timezone)
  return {
    platform,
    platformId: platformid,
    destination,
    messageId: messageid,
    message,
    sent,
    status,
    datetime,
    ...(timestamp !== undefined && { timestamp }),
    ...(extra && { extra }),
  }
}
