import { randomUUID } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config } from '../config.ts'
import { within } from '../store/lease.ts'
import { openStore } from '../store/open.ts'
import { peek } from '../store/sqlite-schema.ts'
import { type Store, type StoreFault, StoreUnavailableError, StoreVersionError } from '../store/store.ts'
import type { Check } from './report.ts'

const section = 'store'
const hourMs = 3_600_000
const verbMs = 5_000
const readMs = 15_000

/** What is the matter, and what to do about it. */
export const remedies: Record<StoreFault, [detail: string, todo: string]> = {
  limit: ['it is larger than STORE_MAX_MB, so every send gets 503', 'Raise STORE_MAX_MB or lower SENDS_KEEP_HOURS'],
  full: ['the disk is full', 'Make room on the disk; the gateway goes on by itself'],
  readonly: ['it cannot be written', 'Give the user of the gateway the right to write the file and its folder'],
  corrupt: ['it is damaged, or no database', 'Put it aside with its -wal and -shm, and start with a copy or without'],
  busy: ['another process has kept it locked', 'See which process does: a backup that locks the file, or a disk that hangs'],
  io: ['the disk or the path failed', 'Check the path and the log of the system'],
  version: ['it belongs to a newer release or to another program', 'Install the newer release, or set STORE_URL to another file'],
  worker: ['its thread died', 'Give the process more memory'],
  closed: ['it was closed', 'Try again'],
}

/** Whether sends can be written down, without leaving anything behind. */
export async function checkStore({ storeUrl, keepHours, storeMaxMb }: Config): Promise<Check[]> {
  const path = /^sqlite:(.+)$/s.exec(storeUrl)?.[1]
  if (path === ':memory:') {
    const detail = 'in memory only: sends and their keys are forgotten when the gateway ends'
    return [{ section, check: 'place', verdict: 'warning', detail, todo: 'Set STORE_URL to a file that lasts: sqlite:/a/path' }]
  }
  if (path !== undefined && isNew(path)) return [checkFolder(dirname(path))]

  const waits = path === undefined ? undefined : checkVersion(path)
  if (waits) return [waits]

  let fault: StoreFault | undefined
  const keepMs = keepHours * hourMs
  const opened = await openStore(storeUrl, {
    keepMs,
    keepUnknownMs: Math.max(keepHours, 720) * hourMs,
    leaseMs: 10_000,
    maxBytes: storeMaxMb * 1_048_576,
    onState: (ok, why) => {
      fault = ok ? undefined : why
    },
  }).catch((error: unknown) => error)
  if (opened instanceof StoreVersionError) return [broken('opening', 'version', opened.message)]
  if (opened instanceof Error) throw opened
  const store = opened as Store // openStore rejects with errors only
  try {
    const checks = await exercise(store, storeMaxMb)
    return fault === 'limit' ? [broken('size', fault), ...checks] : checks
  } finally {
    await store.close()
  }
}

/** A store of an older release stays as it is: to open it would migrate it, under a gateway that may be running with it. */
function checkVersion(path: string): Check | undefined {
  try {
    const { found, known } = peek(path)
    if (found === 0 || found >= known) return undefined
    const detail = `it has schema version ${found}; the gateway of this release makes it ${known} when it starts, and older ones cannot use it then. Not opened`
    return { section, check: 'version', verdict: 'note', detail, facts: { found, known } }
  } catch {
    return undefined // opening it will say what ails it
  }
}

/**
 * Writes a heartbeat of nobody, reads the whole store with the other connection, and takes the heartbeat back.
 *
 * A lease is all that the store deletes again on demand; a claimed send would stay in the ledger. It stands for no send, so no other
 * process does anything about it, and if this one dies in between, the next gateway buries it after ten seconds.
 */
async function exercise(store: Store, maxMb: number): Promise<Check[]> {
  const owner = `doctor-${randomUUID()}`
  const written = await attempt('writing', verbMs, store.beat(owner), ms => ({ detail: `a heartbeat written in ${ms} ms, and taken back` }))
  const read = await attempt('reading', readMs, store.check(), (ms, { problems, bytes }) => {
    const facts = { bytes, maxMb, problems: problems.length }
    if (problems.length > 0) return { ...broken('reading', 'corrupt'), facts }
    return { detail: `all of it in ${ms} ms, and intact; ${(bytes / 1_048_576).toFixed(1)} of ${maxMb} MB in use`, facts }
  })
  const erased = await attempt('erasing', verbMs, store.release(owner), () => ({}))
  return [written.verdict === 'ok' && erased.verdict !== 'ok' ? erased : written, read]
}

async function attempt<T>(
  check: string,
  withinMs: number,
  verb: Promise<T>,
  tell: (ms: number, value: T) => Partial<Check>,
): Promise<Check> {
  const startedAt = performance.now()
  try {
    const value = await within(withinMs, verb)
    const ms = Math.round(performance.now() - startedAt)
    const { facts, ...told } = tell(ms, value)
    return { section, check, verdict: 'ok', detail: '', ...told, facts: { ms, ...facts } }
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error
    return broken(check, error.cause)
  }
}

function broken(check: string, fault: StoreFault, message?: string): Check {
  const [detail, todo] = remedies[fault]
  return { section, check, verdict: 'broken', detail: message ?? detail, todo, facts: { fault } }
}

/** Whether the gateway would still have to make the file: opening it here would. */
export function isNew(path: string) {
  try {
    return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0
  } catch {
    return false // the store will say what ails it
  }
}

function checkFolder(wanted: string): Check {
  try {
    const folder = existing(wanted)
    if (!statSync(folder).isDirectory()) throw new Error('not a folder')
    accessSync(folder, constants.W_OK | constants.X_OK)
    return { section, check: 'place', verdict: 'note', detail: 'there is none yet; the gateway will create it, and may do so there' }
  } catch {
    return broken('place', 'readonly', 'there is none yet, and the gateway cannot create it there')
  }
}

const existing = (folder: string): string =>
  statSync(folder, { throwIfNoEntry: false }) || dirname(folder) === folder ? folder : existing(dirname(folder))
