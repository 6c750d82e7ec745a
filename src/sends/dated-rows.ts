import type { Seen } from './sightings.ts'

/** A row of a conversation; `messageId` names it in every list, whether Afilnet gives it an id or not. */
export type ConversationRow = {
  messageId: string
  out: boolean | null
  text: string | null
  status: string | null
  timestamp?: string | undefined
}

/** A conversation as it was read; `date` is Afilnet's clock in the answer, at a moment between the other two. */
export type Listed = { rows: readonly ConversationRow[]; beganAt: number; endedAt: number; date: string | undefined }

/** `Date` and Afilnet's datetimes have whole seconds. */
const marginMs = 2_000
/** How far ahead a row may be: a later one shows that the configured time zone is wrong. */
const futureMs = 60_000

/** The outgoing rows whose time is known by this machine's clock. */
export function datedRows({ rows, beganAt, endedAt, date }: Listed, now: number, digest: (text: string) => string): Seen[] {
  const theirs = Date.parse(date ?? '')
  if (Number.isNaN(theirs) || rows.some(({ timestamp }) => Date.parse(timestamp ?? '') > theirs + futureMs)) return []
  return rows.flatMap(({ messageId, out, text, status, timestamp }) => {
    if (out !== true || text === null || timestamp === undefined) return []
    const age = theirs - Date.parse(timestamp)
    const from = beganAt - age - marginMs
    return [{ messageId, digest: digest(text), status, absentAt: from, newTo: from, seenAt: Math.min(now, endedAt - age + marginMs) }]
  })
}

/** What is known of a row in two ways holds in both. */
export function merge(some: readonly Seen[], others: readonly Seen[]): Seen[] {
  const merged = new Map(some.map(row => [row.messageId, row]))
  for (const row of others) {
    const known = merged.get(row.messageId) ?? row
    const absentAt = Math.max(row.absentAt, known.absentAt)
    merged.set(row.messageId, { ...row, absentAt, newTo: Math.max(row.newTo, known.newTo), seenAt: Math.min(row.seenAt, known.seenAt) })
  }
  return [...merged.values()]
}
