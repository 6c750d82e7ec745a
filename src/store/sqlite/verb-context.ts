import type { Times } from '../clock.ts'
import { type LedgerMark, markOf } from '../identity.ts'
import type { SqliteFile } from './file.ts'

/** What a verb works with: the clocks of the process that asked, the file, and what follows from both. */
export type VerbContext = Times & {
  file: SqliteFile
  /** Rows that settled at or before these are gone: `unknown` ones first, then the others. */
  horizon: [unknown: number, other: number]
  leaseMs: number
  maxBytes: number
  /** Machine, number and a random text of the process. */
  process: string
  /** Over its size limit: claims are refused, everything else may still use the room that is left. */
  over: boolean
  madeRoom: boolean
  /** Whether the ledger is another one, or an older one, than this process worked with. */
  changed: boolean
  /** Claims with a key and starts from the queue in this transaction: the ledger counts them. */
  claims: number
  /** What this transaction adds to the counts of a caller and day, by both. */
  counts: Map<string, { caller: string; day: number; sends: number; attempts: number }>
  /** Accounts to whose event log this transaction has appended. */
  logged: Set<string>
}

const dayMs = 86_400_000

export const dayOf = (createdAt: number) => Math.floor(createdAt / dayMs)

/** Remembers a change of the counts until the end of the transaction. */
export function count({ counts }: VerbContext, caller: string, createdAt: number, sends: number, attempts: number) {
  const day = dayOf(createdAt)
  const key = `${day}:${caller}`
  const known = counts.get(key)
  if (!known) return void counts.set(key, { caller, day, sends, attempts })
  known.sends += sends
  known.attempts += attempts
}

/** How many sends and attempts of a day a caller has, this transaction included. */
export function counted({ file, counts }: VerbContext, caller: string, createdAt: number): { sends: number; attempts: number } {
  const day = dayOf(createdAt)
  const [sends = 0, attempts = 0] = file.row('SELECT sends, attempts FROM counts WHERE caller = ? AND day = ?', caller, day) ?? []
  const added = counts.get(`${day}:${caller}`)
  return { sends: Number(sends) + (added?.sends ?? 0), attempts: Number(attempts) + (added?.attempts ?? 0) }
}

/** Writes down what a transaction has counted. */
export function flush({ file, counts, claims }: VerbContext) {
  const upsert = `INSERT INTO counts (caller, day, sends, attempts) VALUES (?, ?, max(0, ?), ?)
    ON CONFLICT DO UPDATE SET sends = max(0, counts.sends + ?), attempts = counts.attempts + excluded.attempts`
  for (const { caller, day, sends, attempts } of counts.values()) file.run(upsert, caller, day, sends, attempts, sends)
  if (claims > 0) file.run('UPDATE ledger SET claims = claims + ?', claims)
}

/** Who the ledger says it is: another file is another ledger, even if it begins as a copy. */
export function markIn(file: SqliteFile): LedgerMark {
  const mark = markOf(file.row('SELECT identity, claims, acceptance, acceptedAt, clock FROM ledger') ?? [])
  return { ...mark, identity: `${mark.identity} ${file.inode}` }
}

/** Every caller and account that has rows, by one seek each. */
export function sendersOf(file: SqliteFile): [caller: string, account: string][] {
  const found: [string, string][] = []
  const next = 'SELECT caller, account FROM sends WHERE (caller, account) > (?, ?) ORDER BY caller, account LIMIT 1'
  for (let sender = file.row(next, '', ''); sender; sender = file.row(next, ...sender)) found.push([String(sender[0]), String(sender[1])])
  return found
}
