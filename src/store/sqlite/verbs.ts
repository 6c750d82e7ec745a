import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import { type Claim, type NewSend, type Outcome, type SendFilter, type SendRow, type Settlement, StoreUnavailableError } from '../store.ts'
import type { SqliteFile } from './file.ts'

/** What a verb works with: the file, the caller's clock and what follows from it. */
export type Scope = {
  file: SqliteFile
  now: number
  /** Rows that settled at or before these are gone: `unknown` ones first, then the others. */
  horizon: [unknown: number, other: number]
  leaseUntil: number
  /** Over its size limit: claims are refused, everything else may still use the room that is left. */
  over: boolean
}

const columns =
  'id caller account user kind platform platformId destination reference idempotencyKey fingerprint state owner createdAt settledAt answer'.split(
    ' ',
  ) as (keyof SendRow)[] // a list of its members
const filters = ['state', 'platform', 'platformId', 'destination', 'reference', 'idempotencyKey'] as const

// One seek for each caller and one for its rows, where no index begins with the destination
const ofDestination = `WITH RECURSIVE callers(name) AS (SELECT min(caller) FROM sends UNION ALL
    SELECT (SELECT min(caller) FROM sends WHERE caller > name) FROM callers WHERE name IS NOT NULL)
  SELECT sends.rowid FROM callers CROSS JOIN sends ON caller = name WHERE destination = ?`

const live = `(settledAt IS NULL OR settledAt > iif(state = 'unknown', ?, ?))`
const holder = `caller = ? AND idempotencyKey = ? AND state <> 'not_sent'`
const freeing = `DELETE FROM sends WHERE ${holder} AND NOT ${live}`
const insert = `INSERT INTO sends (${columns}) VALUES (${columns.map(() => '?')})`
const insertNew = `${insert} ON CONFLICT DO NOTHING`
const orphaned = `UPDATE sends SET state = 'unknown', settledAt = ? WHERE state = 'pending'`

/** Verbs that write; those that arrive together run in one transaction, each in a part of its own. */
export const writes = {
  /** Proves that the file can be written. */
  open() {},

  claim({ file, horizon, leaseUntil, over }: Scope, row: NewSend, perDay = Number.POSITIVE_INFINITY): Claim {
    if (row.idempotencyKey !== undefined) {
      const key = [row.caller, row.idempotencyKey]
      file.run(freeing, ...key, ...horizon)
      const existing = file.get(`SELECT * FROM sends WHERE ${holder}`, ...key)
      if (existing) return { claimed: false, existing: toRow(existing) }
    }
    const used = file.get('SELECT sends FROM counts WHERE caller = ? AND day = ?', row.caller, dayOf(row))?.sends ?? 0
    if (Number(used) >= perDay) return { claimed: false }
    if (over) throw new StoreUnavailableError('limit')
    file.run(insert, ...valuesOf({ ...row, state: 'pending' }))
    count(file, row, 1)
    heartbeat(file, row.owner, leaseUntil)
    return { claimed: true }
  },

  settle({ file }: Scope, id: string, { state, settledAt, answer }: Outcome): Settlement {
    const may = state === 'accepted' || state === 'rejected' ? `state IN ('pending', 'unknown')` : `state = 'pending'`
    const update = `UPDATE sends SET state = ?, settledAt = ?, answer = ? WHERE id = ? AND ${may} RETURNING *`
    const settled = file.get(update, state, settledAt, answer, id)
    if (settled && (state === 'rejected' || state === 'not_sent')) count(file, toRow(settled), -1)
    const row = settled ?? file.get('SELECT * FROM sends WHERE id = ?', id)
    return row ? { settled: settled !== undefined, row: toRow(row) } : { settled: false }
  },

  heartbeat({ file, leaseUntil }: Scope, owner: string) {
    heartbeat(file, owner, leaseUntil)
  },

  release({ file, now }: Scope, owner: string): number {
    file.run('DELETE FROM leases WHERE owner = ?', owner)
    return file.run(`${orphaned} AND owner = ?`, now, owner)
  },

  expireLeases({ file, now }: Scope): number {
    file.run('DELETE FROM leases WHERE expiresAt <= ?', now)
    return file.run(`${orphaned} AND owner NOT IN (SELECT owner FROM leases)`, now)
  },

  deleteSlice({ file, now, horizon: [unknown, other] }: Scope, rows: number): number {
    file.run('DELETE FROM counts WHERE day < ?', dayOf({ createdAt: now - keepCountsMs }))
    const slice = `DELETE FROM sends WHERE rowid IN
      (SELECT rowid FROM sends WHERE (state = 'unknown') = ? AND settledAt <= ? ORDER BY settledAt LIMIT ?)`
    const gone = file.run(slice, 0, other, rows)
    return gone + file.run(slice, 1, unknown, rows - gone)
  },

  secret({ file }: Scope, fresh: Uint8Array): Uint8Array {
    file.run(`INSERT OR IGNORE INTO secrets VALUES ('fingerprint', ?)`, fresh)
    return file.get(`SELECT value FROM secrets WHERE name = 'fingerprint'`)?.value as Uint8Array // the column is a BLOB
  },

  load({ file, horizon }: Scope, rows: readonly SendRow[]): number {
    let taken = 0
    for (const row of rows) {
      const holds = row.idempotencyKey !== undefined && row.state !== 'not_sent'
      if (holds) file.run(`${freeing} AND id <> ?`, row.caller, row.idempotencyKey ?? null, ...horizon, row.id)
      if (file.run(insertNew, ...valuesOf(row)) === 0) continue
      taken++
      if (row.state !== 'rejected' && row.state !== 'not_sent') count(file, row, 1)
    }
    return taken
  },

  adopt: (scope: Scope, secret: Uint8Array) => Buffer.compare(writes.secret(scope, secret), secret) === 0,

  forgetSlice({ file }: Scope, destination: string, rows: number) {
    const slice = `DELETE FROM sends WHERE rowid IN (${ofDestination} AND state <> 'pending' LIMIT ?)`
    const gone = file.run(slice, destination, rows)
    return { gone, pending: file.all(`${ofDestination} AND state = 'pending'`, destination).length }
  },
}

/** Verbs that no transaction can hold; for the writer's thread. */
export const upkeep = {
  /** Leaves of deleted rows nothing that could be read from the disk; refuses where a gateway that runs would have to wait too long. */
  scrub({ file, now }: Scope) {
    if (file.bytes() > waitBytes && file.get('SELECT 1 FROM leases WHERE expiresAt > ? LIMIT 1', now))
      throw new StoreUnavailableError('busy')
    file.rewrite()
  },
}

/** Verbs that only read: they work on while the file cannot be written. */
export const reads = {
  find({ file, horizon }: Scope, caller: string, id: string): SendRow | undefined {
    const row = file.get(`SELECT * FROM sends WHERE id = ? AND caller = ? AND ${live}`, id, caller, ...horizon)
    return row && toRow(row)
  },

  list({ file, horizon }: Scope, caller: string, { limit, before, ...filter }: SendFilter): SendRow[] {
    const where: [string, ...SQLInputValue[]][] = [
      ['caller = ?', caller],
      [live, ...horizon],
    ]
    for (const name of filters) if (filter[name] !== undefined) where.push([`${name} = ?`, filter[name]])
    if (before !== undefined) where.push(['id < ?', before])
    // The planner would walk all rows of the caller rather than sort the few of a key
    const hint = filter.idempotencyKey === undefined ? '' : 'INDEXED BY sendsByKey'
    const sql = `SELECT * FROM sends ${hint} WHERE ${where.map(([clause]) => clause).join(' AND ')} ORDER BY id DESC LIMIT ?`
    return file.all(sql, ...where.flatMap(([, ...values]) => values), limit).map(toRow)
  },

  dump: ({ file }: Scope, after = '') => file.all('SELECT * FROM sends WHERE id > ? ORDER BY id LIMIT 1000', after).map(toRow),

  commits: ({ file }: Scope) => file.commits(),

  inspect({ file }: Scope) {
    const found = file.all('PRAGMA integrity_check').map(row => String(row.integrity_check))
    return { problems: found.filter(line => line !== 'ok'), bytes: file.bytes() }
  },
}

const waitBytes = 2 ** 26 // written anew in less than a second, and a write waits for two

/** A send of an old day may still be settled, by a late answer; nobody asks for its count any more. */
const keepCountsMs = 7 * 86_400_000

const dayOf = ({ createdAt }: Pick<NewSend, 'createdAt'>) => Math.floor(createdAt / 86_400_000)

function count(file: SqliteFile, row: NewSend, change: 1 | -1) {
  const insert = 'INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sends = max(0, sends + excluded.sends)'
  file.run(insert, row.caller, dayOf(row), change)
}

function heartbeat(file: SqliteFile, owner: string, until: number) {
  file.run('INSERT INTO leases VALUES (?, ?) ON CONFLICT DO UPDATE SET expiresAt = max(expiresAt, excluded.expiresAt)', owner, until)
}

const valuesOf = (row: SendRow) => columns.map(column => row[column] ?? null)

// The columns are the members of SendRow, and absent members are NULL
const toRow = (row: Record<string, SQLOutputValue>) =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as SendRow
