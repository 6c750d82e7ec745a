import type { SQLInputValue } from 'node:sqlite'
import { mayBeFormatted } from '../destinations.ts'
import { firstIdOf } from '../ids.ts'
import { type Conversation, maxConversationRows, type SendFilter, StoreUnavailableError } from '../store.ts'
import { queueReads } from './queue.ts'
import { all, at, type FlatRow, named } from './rows.ts'
import { digitsOf, formatted, rare } from './schema.ts'
import { sendersOf, type VerbContext } from './verb-context.ts'

/** Rows of a list, and the id from which to go on; an empty one ends it. */
type FlatPage = [rows: FlatRow[], next: string]

type Filters = Omit<SendFilter, 'limit' | 'before'>

const filters = ['state', 'platform', 'platformId', 'destination', 'reference', 'idempotencyKey', 'actor'] as const
const live = `(settledAt IS NULL OR settledAt > iif(state = 'unknown', ?, ?))`
const dumpRows = 1_000
const sliceRows = 1_000 // what one step of a list looks at: a few milliseconds

/** Verbs that only read: they go on while the file cannot be written. */
export const reads = {
  ...queueReads,

  find({ file, horizon }: VerbContext, caller: string, account: string, id: string): FlatRow | undefined {
    const sql = `SELECT ${all} FROM sends WHERE ${named} AND ${live}`
    return file.row(sql, caller, account, id, ...horizon)
  },

  /** One step of a list: looks at so many rows of a matching index, so that a filter with few matches blocks no other call. */
  list({ file, horizon }: VerbContext, caller: string, account: string, filter: Filters, before: string, limit: number): FlatPage {
    const named = filters.filter(name => filter[name] !== undefined)
    const sources = sourcesOf(caller, account, filter)
    let next = ''
    for (const [where, ...values] of sources) {
      const boundary = `SELECT id FROM sends ${where} AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ${sliceRows - 1}`
      const [id] = file.row(boundary, ...values, before) ?? []
      if (id !== undefined && String(id) > next) next = String(id)
    }
    const found: FlatRow[] = []
    for (const [where, ...values] of sources) {
      const others = named.filter(name => !(name === 'destination' && where.includes(formatted)))
      const clauses = [...others.map(name => `${name} = ?`), live].join(' AND ')
      const rows = `SELECT ${all} FROM sends ${where} AND id < ? AND id >= ? AND ${clauses} ORDER BY id DESC LIMIT ?`
      const given = others.map(name => filter[name] as string)
      found.push(...file.rows(rows, ...values, before, next, ...given, ...horizon, limit))
    }
    found.sort((a, b) => (String(a[at.id]) < String(b[at.id]) ? 1 : -1))
    return [found.slice(0, limit), next]
  },

  conversation({ file }: VerbContext, { user, platform, platformId, destination }: Conversation, since: number): FlatRow[] {
    return sendersOf(file).flatMap(sender => {
      const find = (index: string, from: string, ...values: SQLInputValue[]) => {
        const sql = `SELECT ${all} FROM sends INDEXED BY ${index} WHERE caller = ? AND account = ? AND destination = ? AND ${from}
          AND user = ? AND platform = ? AND platformId = ? ORDER BY id DESC LIMIT ${maxConversationRows}`
        return file.rows(sql, ...sender, destination, ...values, user, platform, platformId)
      }
      // A queued one may be much older than its attempt.
      const started = find('sendsStarted', 'startedAt >= ? AND id < ?', since, firstIdOf(since))
      return [...find('sendsByDestination', 'id >= ?', firstIdOf(since)), ...started]
    })
  },

  recent({ file }: VerbContext, account: string, since: number): FlatRow[] {
    const sql = `SELECT ${all} FROM sends WHERE caller = ? AND account = ? AND id >= ? AND state IN ('pending', 'accepted', 'unknown')
      ORDER BY id DESC LIMIT ${maxConversationRows}`
    const own = sendersOf(file).filter(sender => sender[1] === account)
    return own.flatMap(sender => file.rows(sql, ...sender, firstIdOf(since)))
  },

  /** In order of id over all callers: each has few others beside it, so that an index over all of them would cost more than it saves. */
  dump({ file }: VerbContext, after: string): FlatRow[] {
    const own = `SELECT id, caller, account FROM sends WHERE caller = ? AND account = ? AND id > ? ORDER BY id LIMIT ${dumpRows}`
    const ids = sendersOf(file).flatMap(sender => file.rows<string[]>(own, ...sender, after))
    ids.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
    const row = `SELECT ${all} FROM sends WHERE id = ? AND caller = ? AND account = ?`
    return ids.slice(0, dumpRows).map(id => file.row(row, ...id) as FlatRow) // it was there just now
  },

  inspect({ file }: VerbContext): { problems: string[]; bytes: number } {
    const found = file.rows('PRAGMA integrity_check').map(([line]) => String(line))
    return { problems: found.filter(line => line !== 'ok'), bytes: file.bytes() }
  },
}

type Source = [where: string, ...values: SQLInputValue[]]

/** The indexes that together have every row of a filter; each is walked in order of id. */
function sourcesOf(caller: string, account: string, { idempotencyKey, destination, reference, state }: Filters): Source[] {
  const own = 'WHERE caller = ? AND account = ?'
  if (idempotencyKey !== undefined)
    return [
      [`INDEXED BY sendsByKey ${own} AND idempotencyKey = ? AND state <> 'not_sent'`, caller, account, idempotencyKey],
      [`INDEXED BY sendsByState ${own} AND state = 'not_sent' AND ${rare}`, caller, account],
    ]
  if (destination !== undefined)
    return [
      [`INDEXED BY sendsByDestination ${own} AND destination = ?`, caller, account, destination],
      ...(mayBeFormatted(destination)
        ? [[`INDEXED BY sendsFormatted ${own} AND ${formatted} AND ${digitsOf('destination')} = ?`, caller, account, destination] as Source]
        : []),
    ]
  if (reference !== undefined) return [[`INDEXED BY sendsByReference ${own} AND reference = ?`, caller, account, reference]]
  if (state !== undefined && state !== 'accepted')
    return [[`INDEXED BY sendsByState ${own} AND state = '${state}' AND ${rare}`, caller, account]] // one of five words, as the routes have checked
  return [[own, caller, account]]
}

const waitBytes = 2 ** 26 // written anew in less than a second, and a write waits for longer

/** Verbs that no transaction can hold; for the writer's thread. */
export const upkeep = {
  /** Leaves of deleted rows nothing that could be read from the disk; refuses where a gateway that runs would have to wait too long. */
  scrub({ file, now }: VerbContext) {
    if (file.bytes() > waitBytes && file.row('SELECT 1 FROM leases WHERE expiresAt > ? LIMIT 1', now))
      throw new StoreUnavailableError('busy')
    file.rewrite()
  },
}
