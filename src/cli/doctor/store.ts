import { randomUUID } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Config, storePolicyOf } from '../../config/config.ts'
import { type Advice, fileAdvice, serverAdvice } from '../../store/advice.ts'
import { openStore } from '../../store/open.ts'
import { isNew, peek } from '../../store/sqlite/schema.ts'
import { type Store, type StoreFault, StoreUnavailableError, StoreVersionError, within } from '../../store/store.ts'
import { readStoreUrl, type ServerPlace } from '../../store/url.ts'
import { peekValkey } from '../../store/valkey/valkey.ts'
import type { Check } from './report.ts'

const section = 'store'
const verbMs = 5_000
const readMs = 15_000

/** Whether sends can be written down, without leaving anything behind. */
export async function checkStore(config: Config): Promise<Check[]> {
  const { storeUrl, storeMaxMb } = config
  const place = readStoreUrl(storeUrl)
  const path = place?.kind === 'sqlite' ? place.path : undefined
  const words = path === undefined ? serverAdvice : fileAdvice
  if (path === ':memory:') {
    const detail = 'in memory only: sends and their keys are forgotten when the gateway ends'
    return [{ section, check: 'place', verdict: 'warning', detail, todo: 'Set STORE_URL to a file that lasts: sqlite:/a/path' }]
  }
  if (path !== undefined && isNew(path)) return [checkFolder(dirname(path))]

  const waits = path === undefined ? undefined : checkVersion(path)
  if (waits) return [waits]
  const server = place?.kind === 'server' ? await checkServer(place) : { checks: [], usable: true }
  if (!server.usable) return server.checks

  let fault: StoreFault | undefined
  const opened = await openStore(storeUrl, {
    ...storePolicyOf(config),
    onState: (ok, why) => {
      fault = ok ? undefined : why
    },
  }).catch((error: unknown) => error)
  if (opened instanceof StoreVersionError) return [broken(words, 'opening', 'version', opened.message)]
  if (opened instanceof Error) throw opened
  const store = opened as Store // openStore rejects with errors only
  try {
    const checks = [...server.checks, ...(await exercise(store, storeMaxMb, words))]
    return fault === 'limit' ? [broken(words, 'size', fault), ...checks] : checks
  } finally {
    await store.close()
  }
}

/** What the server says of itself; nothing is begun where a gateway has yet to begin it. */
async function checkServer(place: ServerPlace): Promise<{ checks: Check[]; usable: boolean }> {
  const found = await peekValkey(place)
  if (typeof found === 'string') return { checks: [broken(serverAdvice, 'server', found)], usable: false }
  const { server, usedBytes, maxBytes, replicas, schema, known, warnings } = found
  const memory = `${megabytes(usedBytes)} MB in use${maxBytes > 0 ? ` of ${megabytes(maxBytes)}` : ''}`
  const facts = { server, usedBytes, maxBytes, replicas, ...(schema !== undefined && { schema }) }
  const checks: Check[] = [{ section, check: 'server', verdict: 'ok', detail: `${server}, ${memory}, replicas: ${replicas}`, facts }]
  for (const detail of warnings)
    checks.push({
      section,
      check: 'durability',
      verdict: 'warning',
      detail,
      todo: 'Change it with CONFIG SET, and in the file of the server',
    })
  if (maxBytes > 0 && usedBytes >= maxBytes) checks.push(broken(serverAdvice, 'memory', 'full'))
  if (schema === undefined)
    checks.push({ section, check: 'place', verdict: 'note', detail: 'there is no ledger yet; the gateway will begin one' })
  const newer = schema !== undefined && schema > known
  if (newer) checks.push(broken(serverAdvice, 'version', 'version', `The store has schema version ${schema}, this release knows ${known}`))
  return { checks, usable: schema !== undefined && !newer }
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
async function exercise(store: Store, maxMb: number, words: Advice): Promise<Check[]> {
  const owner = `doctor-${randomUUID()}`
  const written = await attempt(words, 'writing', verbMs, store.heartbeat(owner), ms => ({
    detail: `a heartbeat written in ${ms} ms, and taken back`,
  }))
  const read = await attempt(words, 'reading', readMs, store.check(), (ms, { problems, bytes }) => {
    const facts = { bytes, maxMb, problems: problems.length }
    if (problems.length > 0) return { ...broken(words, 'reading', 'corrupt'), facts }
    return { detail: `all of it in ${ms} ms, and intact; ${megabytes(bytes)} of ${maxMb} MB in use`, facts }
  })
  const erased = await attempt(words, 'erasing', verbMs, store.release(owner), () => ({}))
  return [written.verdict === 'ok' && erased.verdict !== 'ok' ? erased : written, read]
}

async function attempt<T>(
  words: Advice,
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
    return broken(words, check, error.cause)
  }
}

function broken(words: Advice, check: string, fault: StoreFault, message?: string): Check {
  const [detail, todo] = words[fault]
  return { section, check, verdict: 'broken', detail: message ?? detail, todo, facts: { fault } }
}

function checkFolder(wanted: string): Check {
  try {
    const folder = existing(wanted)
    if (!statSync(folder).isDirectory()) throw new Error('not a folder')
    accessSync(folder, constants.W_OK | constants.X_OK)
    return { section, check: 'place', verdict: 'note', detail: 'there is none yet; the gateway will create it, and may do so there' }
  } catch {
    return broken(fileAdvice, 'place', 'readonly', 'there is none yet, and the gateway cannot create it there')
  }
}

const megabytes = (bytes: number) => (bytes / 1_048_576).toFixed(1)

const existing = (folder: string): string =>
  statSync(folder, { throwIfNoEntry: false }) || dirname(folder) === folder ? folder : existing(dirname(folder))
