import { existsSync } from 'node:fs'
import { ConfigError } from '../../config/config.ts'
import type { OpenedStore, StoreOptions } from '../../store/adapter.ts'
import { type Advice, adviceFor } from '../../store/advice.ts'
import { openStore } from '../../store/open.ts'
import { faultOf } from '../../store/sqlite/faults.ts'
import { openFile } from '../../store/sqlite/file.ts'
import { isNew, olderVersion } from '../../store/sqlite/schema.ts'
import { type SendRow, StoreUnavailableError, StoreUrlError, StoreVersionError } from '../../store/store.ts'
import { readStoreUrl } from '../../store/url.ts'
import { peekValkey } from '../../store/valkey/peek.ts'
import { describeConfigError } from '../config-or-exit.ts'

const busyMs = 1_500 // how long another process may hold the lock

/** An open ledger; `fail` throws an error of it as one that names the ledger and says what to do. */
export type Ledger = OpenedStore & { fail: (error: unknown) => never }

/** Resolves once the reader is ready for more. */
export type Print = (text: string) => Promise<void>

/** Why a command cannot go on, in words without secrets and numbers. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/**
 * `create` allows a new ledger; `migrate` allows the migration of one of an older release, with which no gateway may run: `unused` only if
 * no gateway uses it, as with a backup.
 */
export type Opening = { create?: boolean; migrate?: 'always' | 'unused' }

/**
 * Opens the ledger of a URL; errors call it `name`.
 *
 * Refuses one that does not exist unless `create` is set: a wrong path is more likely than a new ledger.
 */
export async function openLedger(name: string, url: string, opening: StoreOptions & Opening): Promise<Ledger> {
  const advice = adviceFor(url)
  const fail = (error: unknown): never => {
    throw new CommandError(`${name}: ${describeError(error, advice)}`, exitCodeOf(error))
  }
  return Object.assign(await open(url, opening).catch(fail), { fail })
}

async function open(url: string, { create = false, migrate, ...options }: StoreOptions & Opening): Promise<OpenedStore> {
  const place = readStoreUrl(url)
  if (place?.kind === 'server' && !create) {
    const found = await peekValkey(place)
    if (typeof found === 'object' && found.schema === undefined) throw missing('Check host and database')
  }
  const path = place?.kind === 'sqlite' ? place.path : undefined
  if (path === ':memory:') throw new CommandError('a ledger in memory can only be used by the process that made it', 78)
  if (path !== undefined && !create && isNew(path)) {
    if (existsSync(path))
      throw new CommandError(
        'the file of the ledger is empty: something truncated it. Stop the gateways, and restore a backup or delete the file',
      )
    throw missing('Check the path')
  }
  const older = path === undefined ? undefined : olderVersion(path)
  if (path !== undefined && older) migrateFile(path, older.used, migrate)
  return openStore(url, options)
}

/** Migrates the file, however long that takes: opening the store would not wait for a large one. */
function migrateFile(path: string, used: boolean, migrate: Opening['migrate']) {
  if (!migrate)
    throw new CommandError(
      'the ledger was written by an older release. Start the gateway of this release once: it migrates the ledger. For a backup, make a copy with `copy`, and use the copy',
    )
  if (migrate === 'unused' && used)
    throw new CommandError(
      'the ledger was written by an older release, and a gateway uses it. Stop that gateway, wait 15 seconds, and run the command again',
    )
  try {
    openFile(path, busyMs).close()
  } catch (error) {
    throw error instanceof StoreUnavailableError ? error : new StoreUnavailableError(faultOf(error) ?? 'io')
  }
}

const missing = (advice: string) => new CommandError(`there is no ledger. ${advice}; the gateway makes a new one when it starts`)

/** Every send in order of id, page by page. */
export async function* pagesOf({ dump, fail }: Ledger): AsyncGenerator<SendRow[]> {
  for (let page = await dump().catch(fail); page.length > 0; page = await dump(page.at(-1)?.id).catch(fail)) yield page
}

/** An error as an operator may read it. */
export function describeError(error: unknown, advice?: Advice): string {
  if (error instanceof CommandError) return error.message
  if (error instanceof ConfigError) return describeConfigError(error)
  if (error instanceof StoreUrlError) return error.message.toLowerCase()
  if (error instanceof StoreUnavailableError && advice) {
    const [detail, todo] = advice[error.cause]
    return `${error instanceof StoreVersionError ? error.message : detail}. ${todo}`
  }
  return `internal error of the command (${error instanceof Error ? error.name : typeof error})` // its message may contain anything
}

/** 78 if the configuration or the URL is wrong. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode
  return error instanceof StoreUrlError || error instanceof ConfigError ? 78 : 1
}
