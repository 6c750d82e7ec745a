import { normalizeDestination } from '../../access.ts'
import type { AccountConfig } from '../../config/account.ts'
import type { RecordedCall } from './recorder.ts'
import { count, describeCounts, type Line } from './wire-line.ts'

const exact = 'as requested'
const spelling = 'requested one in another spelling'
const missing = 'missing'
const foreign = 'another one'

/** The fields of a row that say which chat it belongs to, with the name of their check. */
const fields = { platform: 'platform of rows', platformid: 'channel of rows', destination: 'destination of rows' } as const
type Field = keyof typeof fields

/**
 * Compares the chat in each row with the one that was requested, as the gateway does: callers get 502 for a row of another chat.
 *
 * Only this shows whether AFILNET_ROWS is needed, since the manual does not say what Afilnet writes there.
 */
export function describeChats(calls: readonly RecordedCall[], rows: AccountConfig['rows']): Line[] {
  return (Object.keys(fields) as Field[]).flatMap(field => {
    const seen = count(
      calls.flatMap(({ params, rows = [] }) => {
        const requested = params[field]
        return requested === undefined ? [] : rows.map(row => compare(field, requested, row[field], params.platform))
      }),
    )
    return Object.keys(seen).length === 0 ? [] : [lineOf(field, seen, rows)]
  })
}

function lineOf(field: Field, seen: Record<string, number>, rows: AccountConfig['rows']): Line {
  const found = { check: fields[field], detail: describeCounts(seen), facts: { seen } }
  const open = field === 'destination' && rows === 'destination-open'
  if (seen[foreign] === undefined) {
    if (!open) return { ...found, verdict: seen[exact] === undefined || Object.keys(seen).length > 1 ? 'note' : 'ok' }
    return { ...found, verdict: 'note', detail: `${found.detail}; AFILNET_ROWS=destination-open is set, but these rows do not need it` }
  }
  if (open) return { ...found, verdict: 'note', detail: `${found.detail}; not compared, since AFILNET_ROWS=destination-open is set` }
  const setting =
    field === 'destination'
      ? 'If the messages are those of the requested chat, set AFILNET_ROWS=destination-open (account: rows); callers with `chats` still get 502'
      : 'Report this with the output of --json'
  return { ...found, verdict: 'warning', todo: `Callers get 502 upstream-invalid-response for such rows. ${setting}` }
}

function compare(field: Field, requested: string, found: unknown, platform = ''): string {
  if (found === undefined || found === null) return missing
  const text = String(found)
  if (text === requested) return exact
  const plain = (value: string) => {
    if (field === 'platform') return value.trim().toLowerCase()
    return field === 'destination' ? normalizeDestination(platform, value.trim()) : value.trim()
  }
  return plain(text) === plain(requested) ? spelling : foreign
}
