import { type Finding, lookAfterMs, type SendRef } from '../store.ts'
import { announce } from './event-log.ts'
import { all, at, type FlatRow, named } from './rows.ts'
import type { VerbContext } from './verb-context.ts'

/** When a row that was looked for just now is due again: steps that were missed are not made up for. */
const nextLook = `CASE ${lookAfterMs.map(ms => `WHEN settledAt + ${ms} > ?1 THEN settledAt + ${ms}`).join(' ')} END`

/** Verbs that write what the conversations say of sends. */
export const findings = {
  note(context: VerbContext, { caller, account, id }: SendRef, { messageId, deliveryStatus, deliveryAt }: Finding): boolean {
    const status = deliveryStatus || null
    const news = `(messageId IS NULL OR (messageId = ? AND ? <> coalesce(deliveryStatus, '')))`
    const sql = `UPDATE sends SET messageId = ?, deliveryStatus = ?, deliveryAt = ? WHERE ${named} AND ${news} RETURNING ${all}`
    const row = context.file.row(sql, messageId, status, deliveryAt, caller, account, id, messageId, status)
    if (row && row[at.state] !== 'pending') announce(context, row) // the answer to the POST will have it
    return row !== undefined
  },

  takeLookups({ file, now }: VerbContext, accounts: readonly string[], limit: number): FlatRow[] {
    const due = `SELECT ${all} FROM sends WHERE account = ? AND lookAt IS NOT NULL AND lookAt <= ? ORDER BY lookAt LIMIT ?`
    const found: FlatRow[] = []
    for (const account of accounts) found.push(...file.rows(due, account, now, limit - found.length))
    const later = `UPDATE sends SET lookAt = ${nextLook} WHERE caller = ?2 AND account = ?3 AND id = ?4`
    for (const row of found) file.run(later, now, row[at.caller] as string, row[at.account] as string, row[at.id] as string)
    return found
  },
}
