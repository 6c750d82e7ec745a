import { accessSync, chmodSync, closeSync, constants, existsSync, fchmodSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { StoreUnavailableError, StoreVersionError } from '../store.ts'
import type { FlatRow } from './rows.ts'
import { migrate, migrations, recognise } from './schema.ts'

/** An open ledger file; statements are prepared once each. */
export type SqliteFile = ReturnType<typeof openFile>

const logBytes = 2 ** 24 // what the log is cut back to, and what it may have in peace
const checkpointPages = logBytes / 2 / 4_096 // the other half is for a large transaction, and for writes while a reader holds the log

/** Opens or creates the file, never readable by others, and migrates its schema; before that, `onOlder` gets the version that it has. */
export function openFile(path: string, busyMs: number, onOlder?: (version: number) => void) {
  const memory = path === ':memory:'
  if (!memory) create(path)
  const writable = memory || mayWrite(path)
  if (writable && !memory) alignModes(path)
  if (!memory) checkReadable(path)
  const inode = memory ? undefined : inodeOf(path)
  const db = openDatabase(path, busyMs, memory, onOlder)
  const log = memory ? undefined : inodeOf(`${path}-wal`)
  if (!memory && inodeOf(path) !== inode) {
    db.close() // it may be the one that was replaced while it was opened
    throw new StoreUnavailableError('busy')
  }
  const statements = new Map<string, StatementSync>()
  const prepared = (sql: string) => {
    let statement = statements.get(sql)
    if (!statement) {
      statement = db.prepare(sql)
      statement.setReturnArrays(true)
      statements.set(sql, statement)
    }
    return statement
  }
  /** The values of the first row; `R` says more of their types than that no column but the secret is a BLOB. */
  const row = <R extends unknown[] = FlatRow>(sql: string, ...values: SQLInputValue[]) =>
    prepared(sql).get(...values) as unknown as R | undefined // see setReturnArrays
  return {
    row,
    rows: <R extends unknown[] = FlatRow>(sql: string, ...values: SQLInputValue[]) => prepared(sql).all(...values) as unknown as R[], // as above
    /** Returns how many rows changed. */
    run: (sql: string, ...values: SQLInputValue[]) => Number(prepared(sql).run(...values).changes),
    /** Runs the work as one durable transaction, or not at all. */
    transaction<T>(work: () => T): T {
      prepared('BEGIN IMMEDIATE').run()
      try {
        if (Number(row('PRAGMA user_version')?.[0]) !== migrations.length)
          throw new StoreVersionError('A newer release has migrated the store')
        const result = work()
        prepared('COMMIT').run()
        return result
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK') // a full disk has rolled back already
        throw error
      }
    },
    /** Bytes in use: free pages do not count, they are filled before the file grows; of the log only what a long reader has piled up. */
    bytes() {
      const pages =
        'SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size'
      const log = memory ? 0 : (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0)
      return Number(row(pages)?.[0]) + Math.max(0, log - logBytes)
    },
    /**
     * Writes the whole file anew without what was deleted, and empties the log; keeps other writers waiting for the while.
     *
     * What is deleted is overwritten at once, but not what a row left behind where it lay before its page was split.
     */
    rewrite() {
      db.exec('VACUUM')
      if (db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy) throw new StoreUnavailableError('busy')
    },
    /**
     * `file` once the path names another file: SQLite would go on writing to the one that was deleted. `log` once that of its log does,
     * which no connection removes while another one is open.
     */
    moved(): 'file' | 'log' | undefined {
      if (memory) return undefined
      if (inodeOf(path) !== inode) return 'file'
      return log !== undefined && inodeOf(`${path}-wal`) !== log ? 'log' : undefined
    },
    /** Tells this file from another one of the same path. */
    inode: String(inode),
    /** Whether the file could be written when it was opened. A file that could not must not be kept open: it would stay so for this process. */
    writable,
    close: () => db.close(),
  }
}

/** Opens a file as this release needs it. */
function openDatabase(path: string, busyMs: number, memory: boolean, onOlder?: (version: number) => void): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyMs })
  try {
    recognise(db)
    if (!memory) spillBeside(db, dirname(resolve(path)))
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON')
    // With SQLite's own 1,000, a page is copied into the file twice as often, and soon changes again.
    db.exec(`PRAGMA journal_size_limit = ${logBytes}; PRAGMA wal_autocheckpoint = ${checkpointPages}`)
    migrate(db, migrations, onOlder)
    db.prepare('SELECT 1 FROM sends LIMIT 1').get() // opens the log
  } catch (error) {
    db.close()
    throw error
  }
  return db
}

/** A large change spills to a file without a name; where the root file system is read-only, beside the ledger is the only place for it. */
function spillBeside(db: DatabaseSync, folder: string) {
  if (mayWrite(folder)) db.exec(`PRAGMA temp_store_directory = '${folder.replaceAll("'", "''")}'`)
}

function mayWrite(path: string) {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** SQLite says only that it cannot open a file that it may not read, as if the disk had failed. */
function checkReadable(path: string) {
  for (const file of [path, `${path}-wal`, `${path}-shm`]) if (existsSync(file)) accessSync(file, constants.R_OK)
}

/** A process that read the file while it was read-only leaves a read-only -shm behind, which keeps writers out. */
function alignModes(path: string) {
  for (const suffix of ['-wal', '-shm']) {
    try {
      chmodSync(path + suffix, statSync(path).mode & 0o777)
    } catch {
      // absent, as it is most of the time, or another user's
    }
  }
}

function inodeOf(path: string) {
  try {
    return statSync(path).ino
  } catch {
    return undefined
  }
}

/**
 * SQLite gives its -wal and -shm the mode of the file, so the file must have its own before SQLite sees it.
 *
 * An existing file is not opened here: closing any descriptor of it would drop the locks that SQLite holds in this process.
 */
function create(path: string) {
  makeFolder(dirname(resolve(path)))
  if (statSync(path, { throwIfNoEntry: false })) return
  try {
    const descriptor = openSync(path, 'ax', 0o600)
    fchmodSync(descriptor, 0o600) // the umask may have removed the owner's rights too
    closeSync(descriptor)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // node:fs throws nothing else
  }
}

/** One level after the other: `recursive` never returns where the system lets nothing be made, as in /proc. */
function makeFolder(folder: string) {
  if (statSync(folder, { throwIfNoEntry: false })) return
  if (dirname(folder) !== folder) makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // node:fs throws nothing else
  }
}
