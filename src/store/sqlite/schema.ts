import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { StoreVersionError } from '../store.ts'

/** "AfGw": how we recognise a file of ours. */
export const applicationId = 0x41664777

/**
 * One step a schema version; released steps are never edited, a change is a new step.
 *
 * Columns are named like the fields of `SendRow`. An index of a filter ends in `id`, so that a page needs no sorting; of two that fit
 * equally SQLite takes the later one, so the more selective comes later.
 * A row that was not sent takes itself out of the way of its key by adding its id to the unique index.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE sends (
     id TEXT PRIMARY KEY, caller TEXT NOT NULL, account TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL,
     platform TEXT NOT NULL, platformId TEXT NOT NULL, destination TEXT NOT NULL, reference TEXT, idempotencyKey TEXT,
     fingerprint TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL, createdAt INTEGER NOT NULL, settledAt INTEGER, answer TEXT
   ) STRICT;
   CREATE UNIQUE INDEX sendsByKey ON sends (caller, idempotencyKey, iif(state = 'not_sent', id, '')) WHERE idempotencyKey IS NOT NULL;
   CREATE INDEX sendsByCaller ON sends (caller, id);
   CREATE INDEX sendsByChannel ON sends (caller, platformId, id);
   CREATE INDEX sendsByState ON sends (caller, state, id);
   CREATE INDEX sendsByDestination ON sends (caller, destination, id);
   CREATE INDEX sendsByReference ON sends (caller, reference, id) WHERE reference IS NOT NULL;
   CREATE INDEX sendsPending ON sends (owner) WHERE state = 'pending';
   CREATE INDEX sendsSettled ON sends (state = 'unknown', settledAt) WHERE settledAt IS NOT NULL;
   CREATE TABLE leases (owner TEXT PRIMARY KEY, expiresAt INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
   PRAGMA application_id = ${applicationId};`,
  // How many sends of a day (UTC) count against a caller's quota; in the transaction of each change, so that it is never off.
  `CREATE TABLE counts (caller TEXT, day INTEGER, sends INTEGER NOT NULL, PRIMARY KEY (caller, day)) STRICT, WITHOUT ROWID;
   INSERT INTO counts SELECT caller, createdAt / 86400000, count(*) FROM sends WHERE state NOT IN ('rejected', 'not_sent') GROUP BY 1, 2;`,
]

/** The schema version of an open file. */
export const versionOf = (db: DatabaseSync) => pragma(db, 'user_version')

/** Whether the gateway would still have to make the file: opening it here would. */
export function isNew(path: string) {
  try {
    return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0
  } catch {
    return false // the store will say what ails it
  }
}

/** The schema version of a file that is there, and of this release; writes nothing. */
export function peek(path: string) {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    return { found: versionOf(db), known: migrations.length }
  } finally {
    db.close()
  }
}

/** Refuses a file of another program or of a newer release; to be asked before anything is written to it. */
export function recognise(db: DatabaseSync, steps = migrations) {
  const empty = !db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() && versionOf(db) === 0
  if (pragma(db, 'application_id') !== applicationId && !empty) throw new StoreVersionError('The file is a database of another program')
  if (versionOf(db) > steps.length)
    throw new StoreVersionError(`The store has schema version ${versionOf(db)}, this release knows ${steps.length}`)
}

/** Brings a recognised file up to this release, all steps or none; does not write when there is nothing to do. */
export function migrate(db: DatabaseSync, steps = migrations) {
  if (versionOf(db) === steps.length) return
  db.exec('BEGIN IMMEDIATE')
  try {
    recognise(db, steps) // again: another process may have been first
    for (const step of steps.slice(versionOf(db))) db.exec(step)
    db.exec(`PRAGMA user_version = ${steps.length}; COMMIT`)
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

const pragma = (db: DatabaseSync, name: string) => Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
