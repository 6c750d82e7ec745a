// Longer than 200 lines, because it is every statement that writes; a reader must see them side by side to trust a transaction.
import { randomUUID } from 'node:crypto'
import { endedAt } from '../clock.ts'
import { attemptsOf, keepCountsMs, uncounted } from '../counts.ts'
import { mayBeFormatted } from '../destinations.ts'
import { LedgerChangedError, lookAfterMs, type Outcome, type SendState, type SettledBy, StoreUnavailableError } from '../store.ts'
import { forgetDeliveries } from './delivery-verbs.ts'
import { announce, dropEvents, forgetEvents } from './event-log.ts'
import { findings } from './findings.ts'
import { endLease, keepAlive, renewLease } from './leases.ts'
import { dequeue, enqueue, queueing } from './queue.ts'
import { all, at, columns, type FlatRow, type FlatSettlement, named, newColumns } from './rows.ts'
import { digitsOf, formatted, rare } from './schema.ts'
import { count, counted, dayOf, sendersOf, type VerbContext } from './verb-context.ts'

/** What a claim answers; a row is the one that holds the key. */
type FlatClaim = 'claimed' | 'quota' | FlatRow

const insertOf = (names: readonly string[]) => `INSERT INTO sends (${names}) VALUES (${names.map(() => '?')}) ON CONFLICT DO NOTHING`
const insertNew = insertOf(newColumns)
const insert = insertOf(columns)
const holder = `caller = ? AND account = ? AND idempotencyKey = ? AND state <> 'not_sent'`
const gone = `settledAt <= iif(state = 'unknown', ?, ?)`
const lookAt = `iif(? = 'unknown' AND kind = 'message' AND textDigest IS NOT NULL, ? + ${lookAfterMs[0]}, NULL)`
const orphaned = `UPDATE sends SET state = 'unknown', settledAt = ?, lookAt = ${lookAt} WHERE state = 'pending' AND ${rare}`
const roomRows = 1_000

/**
 * Verbs that write. Those that arrive together run in one transaction; a wrong call fails alone, since each of its statements is done or not.
 */
export const writes = {
  ...findings,
  ...queueing,

  /** Proves that the file can be written; says whether the ledger is new. */
  open: ({ file }: VerbContext): boolean =>
    file.row('SELECT 1 FROM ledger WHERE claims = 0 AND clock = 0') !== undefined && !file.row('SELECT 1 FROM sends LIMIT 1'),

  claim(context: VerbContext, row: FlatRow, perDay: number | null, sealed: string | null): FlatClaim {
    const { file } = context
    const [caller, account, key, createdAt] = [row[at.caller], row[at.account], row[at.idempotencyKey], row[at.createdAt]] as [
      string,
      string,
      string | null,
      number,
    ]
    if (key !== null && context.changed) throw new LedgerChangedError()
    if (perDay !== null) {
      const { sends, attempts } = counted(context, caller, createdAt)
      if (sends >= perDay || attempts >= attemptsOf(perDay)) return held(context, caller, account, key) ?? 'quota'
    }
    if (isFull(context)) {
      const existing = held(context, caller, account, key)
      if (existing) return existing
      throw new StoreUnavailableError('limit')
    }
    if (file.run(insertNew, ...row) === 0) {
      const existing = held(context, caller, account, key)
      if (existing) return existing
      if (key === null || file.run(`DELETE FROM sends WHERE ${holder} AND ${gone}`, caller, account, key, ...context.horizon) === 0)
        throw new Error('There is a send of that id')
      file.run(insertNew, ...row)
    }
    if (key !== null) context.claims++
    count(context, caller, createdAt, 1, 1)
    if (sealed === null) keepAlive(context, row[at.owner] as string)
    else enqueue(file, row, sealed)
    return 'claimed'
  },

  settle(
    context: VerbContext,
    caller: string,
    account: string,
    id: string,
    state: Outcome['state'],
    settledAt: number,
    answer: string,
    settledBy: SettledBy | null,
    note: string | null,
    late: boolean,
  ): FlatSettlement {
    const { file } = context
    const at = endedAt(context, settledAt)
    const set = `UPDATE sends SET state = ?, settledAt = ?, answer = ?, settledBy = ?, note = ?, lookAt = ${lookAt}`
    const values = [state, at, answer, settledBy, note, state, at]
    const read = () => file.row(`SELECT ${all} FROM sends WHERE ${named}`, caller, account, id)
    for (const from of mayEnd(state, settledBy)) {
      const end = `${set} WHERE ${named} AND state = '${from}' RETURNING createdAt, dueAt, messageId`
      const [createdAt, dueAt, messageId] = file.row(end, ...values, caller, account, id) ?? []
      if (createdAt === undefined) continue
      if (uncounted.includes(state)) count(context, caller, Number(createdAt), -1, 0)
      if (dueAt !== null) dequeue(file, id)
      if (late || from === 'unknown') announce(context, read() as FlatRow) // it has just been written
      return messageId === null ? [true] : [true, read()]
    }
    return [false, read()]
  },

  heartbeat(context: VerbContext, owner: string): number {
    const { file, trusted, mayDelete } = context
    renewLease(context, owner)
    // Also an earlier one: the ledger may remember the time of a clock that was ahead.
    file.run('UPDATE ledger SET clock = ? WHERE clock < ? OR ?', trusted, trusted, Number(mayDelete))
    return file.bytes()
  },

  release(context: VerbContext, owner: string): number {
    endLease(context, owner)
    return orphan(context, 'owner = ?', owner)
  },

  expireLeases(context: VerbContext): number {
    const { file, now, leaseMs, mayExpireLeases } = context
    if (!mayExpireLeases) return 0
    // A lease that was taken under a clock that was ahead would last until the time it showed.
    file.run('UPDATE leases SET expiresAt = ? WHERE expiresAt > ?', now + leaseMs, now + leaseMs)
    file.run('DELETE FROM leases WHERE expiresAt <= ?', now)
    return orphan(context, 'owner NOT IN (SELECT owner FROM leases)')
  },

  deleteSlice({ file, trusted, mayDelete, horizon: [unknown, other] }: VerbContext, rows: number): number {
    if (!mayDelete) return 0
    file.run('DELETE FROM counts WHERE day < ?', dayOf(trusted - keepCountsMs))
    const slice = `DELETE FROM sends WHERE (caller, account, id) IN
      (SELECT caller, account, id FROM sends WHERE (state = 'unknown') = ? AND settledAt <= ? ORDER BY settledAt LIMIT ?)`
    const deleted = file.run(slice, 0, other, rows)
    return deleted + file.run(slice, 1, unknown, rows - deleted)
  },

  secret({ file }: VerbContext, fresh: Uint8Array): Uint8Array {
    file.run(`INSERT OR IGNORE INTO secrets VALUES ('fingerprint', ?)`, fresh)
    return file.row<[Uint8Array]>(`SELECT value FROM secrets WHERE name = 'fingerprint'`)?.[0] as Uint8Array // it is there now
  },

  accept({ file, now }: VerbContext) {
    file.run('UPDATE ledger SET acceptance = ?, acceptedAt = ?', randomUUID(), now)
  },

  load(context: VerbContext, rows: readonly FlatRow[]): number {
    const { file, horizon } = context
    let taken = 0
    for (const row of rows) {
      const [caller, account, key, state] = [row[at.caller], row[at.account], row[at.idempotencyKey], row[at.state]] as string[]
      const freeing = `DELETE FROM sends WHERE ${holder} AND ${gone} AND id <> ?`
      if (key != null && state !== 'not_sent') file.run(freeing, String(caller), String(account), key, ...horizon, row[at.id] as string)
      if (file.run(insert, ...row) === 0) continue
      taken++
      count(context, String(caller), Number(row[at.createdAt]), uncounted.includes(String(state)) ? 0 : 1, 1)
    }
    return taken
  },

  adopt: (context: VerbContext, secret: Uint8Array) => Buffer.compare(writes.secret(context, secret), secret) === 0,

  forgetSlice({ file }: VerbContext, destination: string, rows: number): { gone: number; pending: number } {
    let [deleted, pending] = [0, 0]
    for (const [index, which] of [
      ['sendsByDestination', 'destination = ?'],
      ...(mayBeFormatted(destination) ? [['sendsFormatted', `${formatted} AND ${digitsOf('destination')} = ?`]] : []),
    ]) {
      const own = `SELECT caller, account, id FROM sends INDEXED BY ${index} WHERE caller = ? AND account = ? AND ${which}`
      for (const sender of sendersOf(file)) {
        for (const [, , id] of file.rows(`${own} AND state = 'queued'`, ...sender, destination)) dequeue(file, String(id))
        const slice = `DELETE FROM sends WHERE (caller, account, id) IN (${own} AND state <> 'pending' LIMIT ?)`
        deleted += file.run(slice, ...sender, destination, rows - deleted)
        pending += file.rows(`${own} AND state = 'pending'`, ...sender, destination).length
      }
    }
    forgetEvents(file, destination)
    forgetDeliveries(file, destination)
    return { gone: deleted, pending }
  },
}

/** Sends whose process is gone become `unknown`; returns how many. */
function orphan(context: VerbContext, which: string, ...values: string[]): number {
  const { file } = context
  const endAt = endedAt(context)
  const found = file.rows(`${orphaned} AND ${which} RETURNING ${all}`, endAt, 'unknown', endAt, ...values)
  for (const row of found) {
    if (row[at.dueAt] !== null) dequeue(file, String(row[at.id]))
    announce(context, row)
  }
  return found.length
}

/** From which states an outcome may end a send. */
function mayEnd(state: Outcome['state'], settledBy: SettledBy | null): readonly SendState[] {
  if (settledBy === 'caller' || settledBy === 'read-back') return ['unknown']
  return state === 'accepted' || state === 'rejected' ? ['pending', 'unknown'] : ['pending']
}

/** The row that holds a key and has not expired. */
function held({ file, horizon }: VerbContext, caller: string, account: string, key: string | null): FlatRow | undefined {
  if (key === null) return undefined
  const found = `SELECT ${all} FROM sends WHERE ${holder} AND NOT coalesce(${gone}, 0)`
  return file.row(found, caller, account, key, ...horizon)
}

/** Whether a claim has no room, even after the deletion of sends that were not delivered. */
function isFull(context: VerbContext): boolean {
  if (context.over && !context.madeRoom) makeRoom(context)
  return context.over
}

/** Sends that were not sent go first, then rejected ones, of the caller who has most of them; then the oldest events. */
function makeRoom(context: VerbContext) {
  const { file, maxBytes } = context
  context.madeRoom = true
  for (const state of ['not_sent', 'rejected']) {
    for (let rounds = 0; context.over && rounds < 5; rounds++) {
      const most = `SELECT caller, account FROM sends WHERE state = ? AND ${rare} GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1`
      const [caller, account] = file.row(most, state) ?? []
      if (caller === undefined || account === undefined) break
      const slice = `SELECT caller, account, id FROM sends WHERE state = ? AND ${rare} AND caller = ? AND account = ? ORDER BY id LIMIT ?`
      file.run(`DELETE FROM sends WHERE (caller, account, id) IN (${slice})`, state, caller, account, roomRows)
      context.over = file.bytes() > maxBytes
    }
  }
  if (context.over) dropEvents(context)
}
