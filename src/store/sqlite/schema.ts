import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { formatting } from '../destinations.ts'
import { StoreVersionError } from '../store.ts'

/** "AfGw": marks a file as a ledger of the gateway. */
const applicationId = 0x41664777

/** A WhatsApp number as a release before the third schema may have stored it, in its caller's own spelling. */
export const formatted = `platform = 'whatsapp' AND destination GLOB '*[^0-9]*'`

/** What an index of rare states asks for; SQLite does not conclude it from `state = 'pending'`. */
export const rare = `state <> 'accepted'`

/** The digits of such a number, in SQL that an index can hold. */
export const digitsOf = (column: string) => [...formatting].reduce((sql, character) => `replace(${sql}, '${character}', '')`, column)

/**
 * One step a schema version; released steps are never edited, a change is a new step.
 *
 * Columns are named like the fields of `SendRow`. An index of a filter ends in `id`, so that a page needs no sorting; of two that fit
 * equally SQLite takes the later one, so the more selective comes later.
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
  // Keys and rows belong to a caller on an account. Fewer trees to write for each send: those of rare states are partial. Who the ledger is.
  `CREATE TABLE sendsOfAccounts (
     caller TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL,
     platform TEXT NOT NULL, platformId TEXT NOT NULL, destination TEXT NOT NULL, reference TEXT, idempotencyKey TEXT,
     fingerprint TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL, createdAt INTEGER NOT NULL, settledAt INTEGER, answer TEXT,
     PRIMARY KEY (caller, account, id)
   ) STRICT, WITHOUT ROWID;
   INSERT INTO sendsOfAccounts SELECT caller, account, id, user, kind, platform, platformId, destination, reference, idempotencyKey,
     fingerprint, state, owner, createdAt, settledAt, answer FROM sends ORDER BY caller, account, id;
   DROP TABLE sends;
   ALTER TABLE sendsOfAccounts RENAME TO sends;
   CREATE UNIQUE INDEX sendsByKey ON sends (caller, account, idempotencyKey) WHERE idempotencyKey IS NOT NULL AND state <> 'not_sent';
   CREATE INDEX sendsByDestination ON sends (caller, account, destination, id);
   CREATE INDEX sendsByReference ON sends (caller, account, reference, id) WHERE reference IS NOT NULL;
   CREATE INDEX sendsByState ON sends (state, caller, account, id) WHERE ${rare};
   CREATE INDEX sendsFormatted ON sends (caller, account, ${digitsOf('destination')}, id) WHERE ${formatted};
   CREATE INDEX sendsSettled ON sends (state = 'unknown', settledAt) WHERE settledAt IS NOT NULL;
   ALTER TABLE counts ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
   UPDATE counts SET attempts = sends;
   CREATE TABLE ledger (identity TEXT NOT NULL, claims INTEGER NOT NULL, acceptance TEXT NOT NULL, acceptedAt INTEGER NOT NULL,
     clock INTEGER NOT NULL) STRICT;
   INSERT INTO ledger VALUES (lower(hex(randomblob(16))), 0, '', 0, 0);`,
  // The event log: names that one process at a time holds, a log for each account, and what its poller knows of each conversation.
  `CREATE TABLE fences (name TEXT PRIMARY KEY, fence INTEGER NOT NULL, holder TEXT NOT NULL, process TEXT NOT NULL,
     expiresAt INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE logs (account TEXT PRIMARY KEY, identity TEXT NOT NULL, trimmed INTEGER NOT NULL, last INTEGER NOT NULL,
     openedAt INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE events (account TEXT NOT NULL, position INTEGER NOT NULL, destination TEXT, body TEXT NOT NULL,
     PRIMARY KEY (account, position)) STRICT, WITHOUT ROWID;
   CREATE INDEX eventsByDestination ON events (destination) WHERE destination IS NOT NULL;
   CREATE TABLE states (account TEXT NOT NULL, key TEXT NOT NULL, destination TEXT, state TEXT NOT NULL,
     PRIMARY KEY (account, key)) STRICT, WITHOUT ROWID;
   CREATE INDEX statesByDestination ON states (destination) WHERE destination IS NOT NULL;`,
  // Who used the token that a send was made with.
  'ALTER TABLE sends ADD COLUMN actor TEXT;',
  // What became of a send: its message is found by the digest of its text. Only a few rows wait to be looked for.
  `ALTER TABLE sends ADD COLUMN textDigest TEXT;
   ALTER TABLE sends ADD COLUMN settledBy TEXT;
   ALTER TABLE sends ADD COLUMN note TEXT;
   ALTER TABLE sends ADD COLUMN messageId TEXT;
   ALTER TABLE sends ADD COLUMN deliveryStatus TEXT;
   ALTER TABLE sends ADD COLUMN deliveryAt INTEGER;
   ALTER TABLE sends ADD COLUMN lookAt INTEGER;
   CREATE INDEX sendsToLookFor ON sends (account, lookAt) WHERE lookAt IS NOT NULL;`,
  // Webhooks: how far each has come, what its endpoint refused, and what operators ask of the process that delivers.
  `CREATE TABLE webhooks (name TEXT PRIMARY KEY, account TEXT NOT NULL, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE failedDeliveries (webhook TEXT NOT NULL, position INTEGER NOT NULL, eventId TEXT NOT NULL, type TEXT NOT NULL,
     at INTEGER NOT NULL, destination TEXT, attempts INTEGER NOT NULL, lastStatus INTEGER, lastError TEXT, lastAttemptAt INTEGER NOT NULL,
     PRIMARY KEY (webhook, position)) STRICT, WITHOUT ROWID;
   CREATE INDEX failedByDestination ON failedDeliveries (destination) WHERE destination IS NOT NULL;
   CREATE TABLE webhookRequests (id INTEGER PRIMARY KEY AUTOINCREMENT, webhook TEXT NOT NULL, request TEXT NOT NULL) STRICT;
   CREATE INDEX webhookRequestsByName ON webhookRequests (webhook, id);`,
  // Files that callers have uploaded: their bytes are elsewhere. The sum is kept by triggers, so that it is never off.
  `CREATE TABLE media (
     id TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, platform TEXT, platformId TEXT, destination TEXT,
     type TEXT NOT NULL, contentType TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, name TEXT NOT NULL,
     createdAt INTEGER NOT NULL, expiresAt INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX mediaExpiring ON media (expiresAt);
   CREATE TABLE mediaUsage (files INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
   INSERT INTO mediaUsage VALUES (0, 0);
   CREATE TRIGGER mediaAdded AFTER INSERT ON media BEGIN
     UPDATE mediaUsage SET files = files + 1, bytes = bytes + NEW.bytes;
   END;
   CREATE TRIGGER mediaRemoved AFTER DELETE ON media BEGIN
     UPDATE mediaUsage SET files = files - 1, bytes = bytes - OLD.bytes;
   END;`,
  // Queued sends: their encrypted bodies lie apart, and only the first one of each conversation is ready to go.
  `ALTER TABLE sends ADD COLUMN dueAt INTEGER;
   ALTER TABLE sends ADD COLUMN expiresAt INTEGER;
   ALTER TABLE sends ADD COLUMN startedAt INTEGER;
   CREATE INDEX sendsStarted ON sends (caller, account, destination, startedAt) WHERE startedAt IS NOT NULL;
   CREATE TABLE queue (id TEXT PRIMARY KEY, caller TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, dueAt INTEGER NOT NULL,
     nextAt INTEGER NOT NULL, expiresAt INTEGER NOT NULL, attempts INTEGER NOT NULL, sealed TEXT NOT NULL, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX queueByState ON queue (state, nextAt);
   CREATE INDEX queueByChat ON queue (chat, state, dueAt, id);
   CREATE INDEX queueByExpiry ON queue (expiresAt);`,
  // The send that a file came with: without it, the file goes.
  `ALTER TABLE media ADD COLUMN sendId TEXT;
   CREATE INDEX mediaOfSends ON media (sendId) WHERE sendId IS NOT NULL;`,
  // The first entry of each account is found without those before it: accounts take turns.
  `DROP INDEX queueByState;
   CREATE INDEX queueByState ON queue (state, account, nextAt);`,
]

/** The schema version of an open file. */
export const versionOf = (db: DatabaseSync) => pragma(db, 'user_version')

/** Whether the gateway would still have to make the file: opening it here would. */
export function isNew(path: string) {
  try {
    return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0
  } catch {
    return false // the store says what is wrong with it
  }
}

/**
 * The schema version of the file of an older release, that of this one, and whether a gateway uses the file; writes nothing. Of a file that
 * cannot be read, opening it says why.
 */
export function olderVersion(path: string): { found: number; known: number; used: boolean } | undefined {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { readOnly: true })
    const [found, known] = [versionOf(db), migrations.length]
    if (found === 0 || found >= known) return undefined
    return { found, known, used: db.prepare('SELECT 1 FROM leases WHERE expiresAt > ?').get(Date.now()) !== undefined }
  } catch {
    return undefined
  } finally {
    db?.close()
  }
}

/** Refuses a file of another program or of a newer release; to be asked before anything is written to it. */
export function recognise(db: DatabaseSync, steps = migrations) {
  const empty = !db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() && versionOf(db) === 0
  if (pragma(db, 'application_id') !== applicationId && !empty) throw new StoreVersionError('The file is a database of another program')
  if (versionOf(db) > steps.length)
    throw new StoreVersionError(`The store has schema version ${versionOf(db)}, this release knows ${steps.length}`)
}

/**
 * Migrates a recognised file to this release, all steps or none; does not write when there is nothing to do.
 *
 * Before it begins, `onOlder` gets the version of an older file.
 */
export function migrate(db: DatabaseSync, steps = migrations, onOlder: (version: number) => void = () => {}) {
  if (versionOf(db) === steps.length) return
  db.exec('BEGIN IMMEDIATE')
  try {
    recognise(db, steps) // again: another process may have been first
    const found = versionOf(db)
    if (found > 0 && found < steps.length) onOlder(found)
    for (const step of steps.slice(found)) db.exec(step)
    db.exec(`PRAGMA user_version = ${steps.length}; COMMIT`)
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

const pragma = (db: DatabaseSync, name: string) => Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
