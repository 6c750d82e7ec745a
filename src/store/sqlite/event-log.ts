import { randomBytes } from 'node:crypto'
import { isRunning } from '../../lib/running-process.ts'
import type { Append, KnownState, LogMark, NewEvent } from '../event-log.ts'
import type { SqliteFile } from './file.ts'
import { type FlatRow, toRow } from './rows.ts'
import type { VerbContext } from './verb-context.ts'

/** An event on its way between the threads: its destination apart, by which `forget` finds it, and the rest as JSON. */
type FlatEvent = [destination: string | null, body: string]
type FlatAppend = { lease: Append['lease'] | undefined; states: readonly KnownState[]; events: readonly FlatEvent[] }

const sliceRows = 1_000
const unusedMs = 86_400_000 // beyond the retention
const leapMs = 60_000 // clocks of several gateways differ by less
const perMs = 1_000 // positions are times, so that those of a restored copy go on behind what its consumers have seen

/** Verbs of leases and of the event log that write. */
export const logWrites = {
  acquireName({ file, now, process }: VerbContext, name: string, holder: string, leaseMs: number): number | undefined {
    const [fence = 0, who, by, expiresAt] = file.row('SELECT fence, holder, process, expiresAt FROM fences WHERE name = ?', name) ?? []
    // One that would last for longer was taken under a clock that was ahead.
    const isHeld = Number(expiresAt) > now && Number(expiresAt) <= now + leaseMs && (who === holder || !isGone(String(by), process))
    if (isHeld && who !== holder) return undefined
    const next = isHeld ? Number(fence) : Math.max(Number(fence) + 1, now)
    file.run('INSERT OR REPLACE INTO fences VALUES (?, ?, ?, ?, ?)', name, next, holder, process, now + leaseMs)
    return next
  },

  renewName: ({ file, now }: VerbContext, name: string, fence: number, leaseMs: number): boolean =>
    file.run('UPDATE fences SET expiresAt = ? WHERE name = ? AND fence = ?', now + leaseMs, name, fence) > 0,

  releaseName({ file }: VerbContext, name: string, fence: number) {
    file.run('UPDATE fences SET expiresAt = 0 WHERE name = ? AND fence = ?', name, fence)
  },

  openLog({ file, now }: VerbContext, account: string): LogMark {
    const identity = randomBytes(6).toString('base64url')
    const sql = 'INSERT INTO logs VALUES (?, ?, 0, 0, ?) ON CONFLICT DO UPDATE SET openedAt = excluded.openedAt'
    file.run(sql, account, identity, now)
    return markOf(file, account) as LogMark // it is there now
  },

  append(context: VerbContext, account: string, { lease, states, events }: FlatAppend): number[] | undefined {
    const { file } = context
    if (lease && !holds(context, lease.name, lease.fence)) return undefined
    const mark = markOf(file, account)
    if (!mark) throw new Error('The account has no event log')
    if (context.over) dropEvents(context, account)
    for (const { key, destination, state } of states) {
      if (state === null) file.run('DELETE FROM states WHERE account = ? AND key = ?', account, key)
      else file.run('INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)', account, key, destination, state)
    }
    return log(context, account, mark, events)
  },

  /** One slice of one account. */
  trimLog({ file, mayDelete, trusted }: VerbContext, keepMs: number, what?: 'unused'): number {
    if (!mayDelete) return 0
    const before = trusted - keepMs
    for (const table of ['events', 'states', 'logs'])
      file.run(`DELETE FROM ${table} WHERE account IN (SELECT account FROM logs WHERE openedAt < ?)`, before - unusedMs)
    if (what === 'unused') return 0
    for (const [account] of file.rows('SELECT account FROM logs')) {
      const dropped = drop(file, String(account), before * perMs) || dropAfterLeap(file, String(account), trusted, keepMs)
      if (dropped > 0) return dropped
    }
    return 0
  },
}

/** Verbs of the event log that read. */
export const logReads = {
  readLog(
    { file }: VerbContext,
    account: string,
    after: number,
    limit: number,
  ): { mark?: LogMark; rows: [position: number, body: string][] } {
    const mark = markOf(file, account)
    if (!mark) return { rows: [] }
    const sql = 'SELECT position, body FROM events WHERE account = ? AND position > ? ORDER BY position LIMIT ?'
    return { mark, rows: file.rows<[number, string]>(sql, account, after, limit) }
  },

  readStates({ file }: VerbContext, account: string, after: string): [key: string, destination: string | null, state: string][] {
    const sql = `SELECT key, destination, state FROM states WHERE account = ? AND key > ? ORDER BY key LIMIT ${sliceRows}`
    return file.rows<[string, string | null, string]>(sql, account, after)
  },

  findStates: ({ file }: VerbContext, account: string, keys: readonly string[]): (string | undefined)[] =>
    keys.map(key => file.row<[string]>('SELECT state FROM states WHERE account = ? AND key = ?', account, key)?.[0]),

  logAccounts: ({ file }: VerbContext): string[] => file.rows('SELECT account FROM logs ORDER BY account').map(String),

  /** Which log each account has, and its newest position. */
  marksOf: ({ file }: VerbContext, accounts: readonly string[]): string[] =>
    accounts.map(account => {
      const { identity = '', last = 0 } = markOf(file, account) ?? {}
      return `${identity} ${last}`
    }),
}

/** Whether this fence is still the name's: another holder has a higher one. For verbs that a frozen holder must not run. */
export const holds = ({ file }: VerbContext, name: string, fence: number): boolean =>
  file.row('SELECT fence FROM fences WHERE name = ?', name)?.[0] === fence

/** Whether a process of this machine has ended: a container that starts again has the name and the number of the one before. */
function isGone(other: string, mine: string): boolean {
  const [host, pid] = other.split(' ')
  const [here, own] = mine.split(' ')
  if (host !== here || other === mine) return false
  return pid === own || !isRunning(Number(pid))
}

/**
 * Appends a `send.updated` with the row as it stands now, in the transaction that has changed it, where the account has an event log.
 *
 * For each change of a send after its POST was answered.
 */
export function announce(context: VerbContext, flat: FlatRow) {
  const { fingerprint: _, textDigest: __, user: ___, owner: ____, ...row } = toRow(flat)
  const { caller, account, platform, platformId, destination, messageId = null } = row
  const mark = markOf(context.file, account)
  if (!mark) return
  const chat = { platform, platformId, destination, messageId }
  const event: NewEvent = {
    type: 'send.updated',
    at: context.now,
    ...chat,
    direction: 'out',
    sender: { caller, account },
    send: JSON.stringify(row),
  }
  log(context, account, mark, [[destination, JSON.stringify(event)]])
}

function log({ file, latest, logged }: VerbContext, account: string, { last }: LogMark, events: readonly FlatEvent[]): number[] {
  if (events.length === 0) return []
  const first = Math.max(last + 1, latest * perMs)
  const positions = events.map((_, n) => first + n)
  for (const [n, [destination, body]] of events.entries())
    file.run('INSERT INTO events VALUES (?, ?, ?, ?)', account, first + n, destination, body)
  file.run('UPDATE logs SET last = ? WHERE account = ?', first + events.length - 1, account)
  logged.add(account)
  return positions
}

/** Deletes a slice of the oldest events, of the account or of all: they make room before anything is refused. */
export function dropEvents(context: VerbContext, ...accounts: string[]) {
  const { file, maxBytes } = context
  const names = accounts.length > 0 ? accounts : file.rows('SELECT account FROM logs').map(String)
  for (const account of names) drop(file, account)
  context.over = file.bytes() > maxBytes
}

export function forgetEvents(file: SqliteFile, destination: string) {
  for (const table of ['events', 'states']) file.run(`DELETE FROM ${table} WHERE destination = ?`, destination)
}

/** A slice of what lies before a position; the log remembers up to where it was cut. */
function drop(file: SqliteFile, account: string, before = Number.MAX_SAFE_INTEGER): number {
  const slice = `SELECT position FROM events WHERE account = ? AND position < ? ORDER BY position LIMIT ${sliceRows}`
  const last = file.rows(slice, account, before).at(-1)?.[0]
  if (last === undefined) return 0
  file.run('UPDATE logs SET trimmed = ? WHERE account = ?', last, account)
  return file.run('DELETE FROM events WHERE account = ? AND position <= ?', account, last)
}

/**
 * The same where positions run ahead of the time, because a clock did: then the events' own times count.
 *
 * An event that is too old takes those before it with it, but none that is to be kept. One from far ahead tells no time: it goes with an older
 * one behind it.
 */
function dropAfterLeap(file: SqliteFile, account: string, now: number, keepMs: number): number {
  if ((markOf(file, account)?.last ?? 0) <= (now + leapMs) * perMs) return 0
  const at = "body ->> '$.at'"
  const kept = `SELECT position FROM events WHERE account = ?1 AND ${at} BETWEEN ?2 AND ?3 ORDER BY position LIMIT 1`
  const old = `SELECT max(position) FROM events WHERE account = ?1 AND ${at} < ?2 AND position < coalesce((${kept}), ${Number.MAX_SAFE_INTEGER})`
  const [last] = file.row(old, account, now - keepMs, now + keepMs) ?? []
  return last == null ? 0 : drop(file, account, Number(last) + 1)
}

function markOf(file: SqliteFile, account: string): LogMark | undefined {
  const [identity, trimmed, last] = file.row('SELECT identity, trimmed, last FROM logs WHERE account = ?', account) ?? []
  return identity === undefined ? undefined : { identity: String(identity), trimmed: Number(trimmed), last: Number(last) }
}
