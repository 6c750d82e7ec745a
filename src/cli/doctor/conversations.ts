import type { Row } from '../../afilnet/operations.ts'
import type { AccountConfig } from '../../config/account.ts'
import type { RecordedCall } from './recorder.ts'
import { count, describeCounts, type Line } from './wire-line.ts'

/** What lists of messages allow the gateway to find: events, and what became of a send, stand on it. */
export function describeConversations(calls: readonly RecordedCall[], sent: AccountConfig['sent']): Line[] {
  const lists = calls.flatMap(({ operation, rows }) => (operation.method === 'getmessages' && rows && rows.length > 0 ? [rows] : []))
  if (lists.length === 0) return []
  return [sentLine(lists.flat(), sent), orderLine(lists), idLine(lists), lengthLine(lists)]
}

function sentLine(rows: readonly Row[], setting: AccountConfig['sent']): Line {
  const seen = count(rows.map(({ sent }) => (sent === null || sent === undefined ? 'neither' : sent ? 'sent' : 'received')))
  const found = { check: 'sent messages', detail: describeCounts(seen), facts: { seen } }
  if (setting === 'ignore')
    return { ...found, verdict: 'note', detail: `${found.detail}; AFILNET_SENT=ignore is set: no \`direction\`, and no send is looked for` }
  if (seen.sent !== undefined && seen.neither === undefined) return { ...found, verdict: 'ok' }
  const reason = seen.neither === undefined ? 'no message is marked as sent' : 'some messages are neither sent nor received'
  return { ...found, verdict: 'note', detail: `${found.detail}; ${reason}: a send whose outcome is unknown may not be found` }
}

function orderLine(lists: readonly (readonly Row[])[]): Line {
  const seen = count(lists.map(rows => orderOf(rows.flatMap(({ datetime }) => datetime ?? []))))
  return { check: 'order of messages', verdict: seen.mixed === undefined ? 'ok' : 'note', detail: describeCounts(seen), facts: { seen } }
}

function orderOf(datetimes: readonly string[]): 'oldest first' | 'newest first' | 'mixed' | 'not visible' {
  const steps = datetimes.slice(1).map((datetime, i) => Math.sign(datetime.localeCompare(datetimes[i] ?? '')))
  const [rises, falls] = [steps.includes(1), steps.includes(-1)]
  if (rises && falls) return 'mixed'
  return rises ? 'oldest first' : falls ? 'newest first' : 'not visible'
}

function idLine(lists: readonly (readonly Row[])[]): Line {
  const seen = count(
    lists.flatMap(rows => {
      const ids = rows.map(({ messageid }) => messageid ?? '')
      return ids.map((id, i) => (id === '' || id === '0' ? 'missing' : ids.indexOf(id) < i ? 'repeated' : 'unique'))
    }),
  )
  const found = { check: 'ids of messages', detail: describeCounts(seen), facts: { seen } }
  if (seen.missing === undefined) return { ...found, verdict: seen.repeated === undefined ? 'ok' : 'note' }
  const detail = `${found.detail}; equal messages of one second are told apart only while they are listed together`
  return { ...found, verdict: 'note', detail }
}

/** The real length of a conversation is not known: a limit shows as equal lengths, or as a round one. */
function lengthLine(lists: readonly (readonly Row[])[]): Line {
  const lengths = lists.map(({ length }) => length)
  const longest = Math.max(...lengths)
  const isCapped = longest >= 10 && (longest % 10 === 0 || lengths.filter(length => length === longest).length > 1)
  const cap = `; Afilnet may list no more than ${longest} messages: if more come between two polls, events have a gap`
  const detail = `${lengths.join(', ')}${isCapped ? cap : '; no sign of a limit'}`
  return { check: 'length of lists', verdict: isCapped ? 'note' : 'ok', detail, facts: { lengths } }
}
