import type { ArchivedWebhook, DeliveryChange, DeliveryRequest, FailedDelivery, SavedWebhook } from '../deliveries.ts'
import { holds } from './event-log.ts'
import type { SqliteFile } from './file.ts'
import { membersOf } from './rows.ts'
import type { VerbContext } from './verb-context.ts'

const names = membersOf<FailedDelivery>('position eventId type at destination attempts lastStatus lastError lastAttemptAt')
const columns = names.join(', ')
const insert = `INSERT OR REPLACE INTO failedDeliveries (webhook, ${columns}) VALUES (?${', ?'.repeat(names.length)})`
const mostRequests = 100

/** Verbs of webhooks that write. */
export const deliveryWrites = {
  saveWebhook(context: VerbContext, name: string, lease: { name: string; fence: number }, change: DeliveryChange): boolean {
    const { file } = context
    const { saved, failed, cleared, clearedAfter, handled } = change
    if (!holds(context, lease.name, lease.fence)) return false
    file.run('INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?)', name, saved.account, saved.state)
    if (clearedAfter !== undefined) file.run('DELETE FROM failedDeliveries WHERE webhook = ? AND position > ?', name, clearedAfter)
    for (const position of cleared) file.run('DELETE FROM failedDeliveries WHERE webhook = ? AND position = ?', name, position)
    for (const row of failed) file.run(insert, name, ...names.map(column => row[column]))
    file.run('DELETE FROM webhookRequests WHERE webhook = ? AND id <= ?', name, handled)
    return true
  },

  requestOfWebhook({ file }: VerbContext, name: string, request: string) {
    file.run('INSERT INTO webhookRequests (webhook, request) VALUES (?, ?)', name, request)
    const kept = `SELECT id FROM webhookRequests WHERE webhook = ? ORDER BY id DESC LIMIT ${mostRequests}`
    file.run(`DELETE FROM webhookRequests WHERE webhook = ? AND id NOT IN (${kept})`, name, name)
  },

  /** One from a clock that was far ahead goes with an older one behind it. */
  deleteFailed({ file, trusted, mayDelete }: VerbContext, keepMs: number): number {
    if (!mayDelete) return 0
    const behind = 'SELECT 1 FROM failedDeliveries AS behind WHERE webhook = of.webhook AND position > of.position AND at < ?1'
    const sql = `DELETE FROM failedDeliveries AS of WHERE at < ?1 OR (at > ?2 AND EXISTS (${behind}))`
    return file.run(sql, trusted - keepMs, trusted + keepMs)
  },

  loadWebhook({ file }: VerbContext, { name, account, state, failed }: ArchivedWebhook): boolean {
    if (file.run('INSERT INTO webhooks VALUES (?, ?, ?) ON CONFLICT DO NOTHING', name, account, state) === 0) return false
    for (const row of failed) file.run(insert, name, ...names.map(column => row[column]))
    return true
  },
}

/** Verbs of webhooks that read. */
export const deliveryReads = {
  webhook({ file }: VerbContext, name: string): { saved?: SavedWebhook; requests: DeliveryRequest[] } {
    const [account, state] = file.row('SELECT account, state FROM webhooks WHERE name = ?', name) ?? []
    const rows = file.rows('SELECT id, request FROM webhookRequests WHERE webhook = ? ORDER BY id', name)
    const requests = rows.map(([id, request]) => ({ id: Number(id), request: String(request) }))
    return { ...(account !== undefined && { saved: { account: String(account), state: String(state) } }), requests }
  },

  failedOf({ file }: VerbContext, name: string, after: number, limit: number): FailedDelivery[] {
    const sql = `SELECT ${columns} FROM failedDeliveries WHERE webhook = ? AND position > ? ORDER BY position LIMIT ?`
    return file.rows(sql, name, after, limit).map(row => Object.fromEntries(names.map((column, n) => [column, row[n]])) as FailedDelivery) // as the columns are
  },

  webhookNames: ({ file }: VerbContext): string[] => file.rows('SELECT name FROM webhooks ORDER BY name').map(String),
}

/** Erases what is known of a destination. */
export const forgetDeliveries = (file: SqliteFile, destination: string) =>
  file.run('DELETE FROM failedDeliveries WHERE destination = ?', destination)
