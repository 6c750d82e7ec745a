import { endedAt } from '../clock.ts'
import { type Backlog, chatKeyOf, type Outcome } from '../store.ts'
import { announce } from './event-log.ts'
import type { SqliteFile } from './file.ts'
import { keepAlive } from './leases.ts'
import { all, at, type FlatRow, type FlatSettlement, named, toRow } from './rows.ts'
import { rare } from './schema.ts'
import { count, type VerbContext } from './verb-context.ts'

const expiredAtOnce = 200
const pageRows = 1_000

/** An entry that is ready; the first one of its account, in the order of their next attempts. */
type Head = [nextAt: number, account: string, caller: string, id: string, sealed: string, attempts: number]
const headOf = `SELECT nextAt, account, caller, id, sealed, attempts FROM queue WHERE state = 'ready' AND`

/** Send, encrypted body, and how many attempts there are with this one. */
type FlatDue = [row: FlatRow, sealed: string, attempts: number]

/**
 * Verbs of the queue. An entry is `ready` if it is the first of its conversation, `waiting` behind another one, `running` or `held`.
 *
 * It goes when its send ends, and its encrypted body with it.
 */
export const queueing = {
  takeDue(
    context: VerbContext,
    owner: string,
    places: number,
    running: ReadonlyMap<string, number>,
  ): { due: FlatDue[]; expired: [account: string, kind: string, id: string][]; nextAt: number | null } {
    const { file, now } = context
    const expired: [string, string, string][] = []
    const late = `SELECT caller, account, id FROM queue WHERE expiresAt <= ? AND state <> 'running' ORDER BY expiresAt LIMIT ${expiredAtOnce}`
    for (const [caller, account, id] of file.rows<[string, string, string]>(late, now)) {
      const row = leave(context, [caller, account, id], { state: 'expired', settledAt: now, answer: '' })
      if (row) expired.push([account, String(row[at.kind]), id])
    }
    if (context.changed) return { due: [], expired, nextAt: null }

    const due: FlatDue[] = []
    const lines = linesOf(file, running)
    let free = [...running.values()].reduce((left, held) => left - held, places)
    for (;;) {
      const [line] = lines.filter(({ head }) => head[0] <= now).sort((a, b) => a.held - b.held || a.head[0] - b.head[0])
      if (!line || line.held >= free) break
      const started = start(context, owner, line.head)
      if (started) {
        due.push(started)
        line.held++
        free--
      }
      const head = file.row<Head>(`${headOf} account = ? ORDER BY nextAt LIMIT 1`, line.head[1])
      if (head) line.head = head
      else lines.splice(lines.indexOf(line), 1)
    }
    context.claims += due.length
    if (due.length > 0) keepAlive(context, owner)
    const [expiresAt = null] = file.row(`SELECT min(expiresAt) FROM queue WHERE state <> 'running'`) ?? []
    const times = [...lines.map(({ head }) => head[0]).filter(nextAt => nextAt > now), ...(expiresAt === null ? [] : [Number(expiresAt)])]
    return { due, expired, nextAt: times.length > 0 ? Math.min(...times) : null }
  },

  requeue(context: VerbContext, caller: string, account: string, id: string, nextAt: number, attempts: number): boolean {
    const { file } = context
    const entry = `UPDATE queue SET state = 'waiting', nextAt = ? WHERE id = ? AND state = 'running' AND attempts = ? RETURNING chat`
    const [chat] = file.row(entry, nextAt, id, attempts) ?? []
    if (chat === undefined) return false
    const again = `UPDATE sends SET state = 'queued' WHERE ${named} AND state = 'pending' RETURNING ${all}`
    const row = file.row(again, caller, account, id)
    if (row) announce(context, row)
    promote(file, String(chat))
    return row !== undefined
  },

  unqueue(context: VerbContext, caller: string, account: string, id: string, outcome: Outcome): FlatSettlement {
    if (leave(context, [caller, account, id], outcome)) return [true]
    return [false, context.file.row(`SELECT ${all} FROM sends WHERE ${named}`, caller, account, id)]
  },

  holdQueue: ({ file }: VerbContext): number => file.run(`UPDATE queue SET state = 'held' WHERE state IN ('ready', 'waiting')`),

  releaseQueue({ file }: VerbContext): number {
    const chats = file.rows(`SELECT DISTINCT chat FROM queue WHERE state = 'held'`).map(String)
    const released = file.run(`UPDATE queue SET state = 'waiting' WHERE state = 'held'`)
    for (const chat of chats) promote(file, chat)
    return released
  },
}

/** Verbs of the queue that only read. */
export const queueReads = {
  pendingOf({ file }: VerbContext, owner: string): [row: FlatRow, attempts: number][] {
    const attempts = '(SELECT attempts FROM queue WHERE queue.id = sends.id)'
    const pending = `SELECT coalesce(${attempts}, 0), ${all} FROM sends WHERE state = 'pending' AND ${rare} AND owner = ?`
    return file.rows<[number, ...FlatRow]>(pending, owner).map(([attempts, ...row]) => [row, attempts])
  },

  sealedByOthers({ file }: VerbContext, keys: readonly string[]): FlatRow[] {
    const own = keys.map(() => '?').join(', ')
    const others = `SELECT caller, account, id FROM queue WHERE state <> 'running' AND substr(sealed, 1, instr(sealed, '.') - 1) NOT IN (${own})`
    const found = file.rows(`${others} LIMIT ${pageRows}`, ...keys)
    const rows = found.map(ref => file.row(`SELECT ${all} FROM sends WHERE ${named}`, ...ref))
    return rows.filter(row => row !== undefined)
  },

  backlog({ file }: VerbContext): Backlog {
    const sql = `SELECT count(*) FILTER (WHERE state IN ('ready', 'waiting')), count(*) FILTER (WHERE state = 'held'),
      min(dueAt) FILTER (WHERE state IN ('ready', 'waiting')) FROM queue`
    const [waiting, held, dueAt] = file.row(sql) ?? []
    return { waiting: Number(waiting), held: Number(held), ...(dueAt != null && { dueAt: Number(dueAt) }) }
  },
}

/** Adds a send that has just been claimed as `queued`. */
export function enqueue(file: SqliteFile, row: FlatRow, sealed: string) {
  const send = toRow(row)
  const { id, caller, account, dueAt = 0, expiresAt = 0 } = send // what is queued has both
  const chat = chatKeyOf(send)
  const insert = `INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 'waiting')`
  file.run(insert, id, caller, account, chat, dueAt, dueAt, expiresAt, sealed)
  promote(file, chat)
}

/** Erases an entry, with the body in it. */
export function dequeue(file: SqliteFile, id: string) {
  const [chat] = file.row('DELETE FROM queue WHERE id = ? RETURNING chat', id) ?? []
  if (chat !== undefined) promote(file, String(chat))
}

/** The first entry that is ready of each account, found by one step in the index for each, and how many places the account holds. */
function linesOf(file: SqliteFile, running: ReadonlyMap<string, number>): { head: Head; held: number }[] {
  const lines: { head: Head; held: number }[] = []
  for (let after = ''; ; ) {
    const head = file.row<Head>(`${headOf} account > ? ORDER BY account, nextAt LIMIT 1`, after)
    if (!head) return lines
    after = head[1]
    lines.push({ head, held: running.get(after) ?? 0 })
  }
}

/** Makes an entry that is ready `running`; drops one whose send has gone. */
function start(context: VerbContext, owner: string, [, account, caller, id, sealed, attempts]: Head): FlatDue | undefined {
  const { file, now } = context
  const pending = `UPDATE sends SET state = 'pending', owner = ?, startedAt = ? WHERE ${named} AND state = 'queued' RETURNING ${all}`
  const row = file.row(pending, owner, now, caller, account, id)
  if (!row) {
    dequeue(file, id)
    return undefined
  }
  file.run(`UPDATE queue SET state = 'running', attempts = attempts + 1 WHERE id = ?`, id)
  announce(context, row)
  return [row, sealed, attempts + 1]
}

/** Ends a send that is still queued. */
function leave(
  context: VerbContext,
  [caller, account, id]: [string, string, string],
  { state, settledAt, answer, settledBy }: Outcome,
): FlatRow | undefined {
  const { file } = context
  const end = `UPDATE sends SET state = ?, settledAt = ?, answer = ?, settledBy = ? WHERE ${named} AND state = 'queued' RETURNING ${all}`
  const values = [state, endedAt(context, settledAt), answer, settledBy ?? null]
  const row = file.row(end, ...values, caller, account, id)
  if (!row) return undefined
  dequeue(file, id)
  count(context, caller, Number(row[at.createdAt]), -1, 0)
  announce(context, row)
  return row
}

/** Makes the first entry of a conversation ready, unless one of it is running. */
function promote(file: SqliteFile, chat: string) {
  file.run(`UPDATE queue SET state = 'waiting' WHERE chat = ? AND state = 'ready'`, chat)
  if (file.row(`SELECT 1 FROM queue WHERE chat = ? AND state = 'running'`, chat)) return
  const first = `SELECT id FROM queue WHERE chat = ? AND state = 'waiting' ORDER BY dueAt, id LIMIT 1`
  file.run(`UPDATE queue SET state = 'ready' WHERE id = (${first})`, chat)
}
