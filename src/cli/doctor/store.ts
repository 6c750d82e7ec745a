import { randomUUID } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Config, storePolicyOf } from '../../config/config.ts'
import { type Advice, fileAdvice, serverAdvice } from '../../store/advice.ts'
import { openStore } from '../../store/open.ts'
import { isNew, olderVersion } from '../../store/sqlite/schema.ts'
import { type Store, type StoreFault, StoreUnavailableError, StoreVersionError, within } from '../../store/store.ts'
import { readStoreUrl, type ServerPlace } from '../../store/url.ts'
import { peekValkey } from '../../store/valkey/peek.ts'
import { warningsFor } from '../../store/valkey/server-report.ts'
import { checkMedia } from './media.ts'
import type { Check } from './report.ts'

const section = 'store'
const verbMs = 5_000
const readMs = 15_000
/** As in the alert GatewayStoreNearlyFull. A full ledger is a check of its own. */
const nearlyFull = 0.9

/** Checks whether sends can be recorded, and leaves the store as it was. */
export async function checkStore(config: Config): Promise<Check[]> {
  const { storeUrl, storeMaxMb } = config
  const place = readStoreUrl(storeUrl)
  const path = place?.kind === 'sqlite' ? place.path : undefined
  const advice = path === undefined ? serverAdvice : fileAdvice
  if (path === ':memory:') {
    const detail = 'in memory only: the gateway forgets sends and their keys when it ends'
    return [{ section, check: 'place', verdict: 'warning', detail, todo: 'Set STORE_URL to a file: sqlite:/a/path' }]
  }
  if (path !== undefined && isNew(path)) return [checkFolder(dirname(path))]

  const older = path === undefined ? undefined : olderVersion(path)
  if (older) return [checkVersion(older)]
  const server = place?.kind === 'server' ? await checkServer(place, storePolicyOf(config).maxBytes) : { checks: [], usable: true }
  if (!server.usable) return server.checks

  let fault: StoreFault | undefined
  const store = await openStore(storeUrl, {
    ...storePolicyOf(config),
    onState: (ok, why) => {
      fault = ok ? undefined : why
    },
  }).catch(error => {
    if (error instanceof StoreVersionError) return error
    throw error
  })
  if (store instanceof StoreVersionError) return [broken(advice, 'opening', 'version', store.message)]
  try {
    const exercised = await exercise(store, storeMaxMb, advice)
    const checks = [...server.checks, ...exercised, ...(await checkMedia(config, store.media).catch(notTried))]
    return fault === 'limit' ? [broken(advice, 'size', fault), ...checks] : checks
  } finally {
    await store.close()
  }
}

/** What the server reports about itself. A server without a ledger stays as it is. */
async function checkServer(place: ServerPlace, ledgerBytes: number): Promise<{ checks: Check[]; usable: boolean }> {
  const found = await peekValkey(place)
  if (typeof found === 'string') return { checks: [broken(serverAdvice, 'server', found)], usable: false }
  const { server, usedBytes, maxBytes, replicas, schema, known } = found
  const memory = `${megabytes(usedBytes)} MB used${maxBytes > 0 ? ` of ${megabytes(maxBytes)}` : ''}`
  const facts = { server, usedBytes, maxBytes, replicas, ...(schema !== undefined && { schema }) }
  const checks: Check[] = [{ section, check: 'server', verdict: 'ok', detail: `${server}, ${memory}, replicas: ${replicas}`, facts }]
  const todo = 'Change it with CONFIG SET and in the configuration file of the server'
  for (const detail of warningsFor(found, ledgerBytes)) checks.push({ section, check: 'durability', verdict: 'warning', detail, todo })
  if (maxBytes > 0 && usedBytes >= maxBytes) checks.push(broken(serverAdvice, 'memory', 'full'))
  if (schema === undefined)
    checks.push({ section, check: 'place', verdict: 'note', detail: 'there is no ledger yet; the gateway creates one when it starts' })
  const newer = schema !== undefined && schema > known
  if (newer) checks.push(broken(serverAdvice, 'version', 'version', `The store has schema version ${schema}, this release knows ${known}`))
  return { checks, usable: schema !== undefined && !newer }
}

/** A store of an older release stays closed: opening would migrate it, and a gateway of that release may be using it. */
function checkVersion({ found, known }: { found: number; known: number }): Check {
  const detail = `not opened: it has schema version ${found}. The gateway of this release migrates it to ${known} when it starts; older releases cannot use it then`
  return { section, check: 'version', verdict: 'note', detail, facts: { found, known } }
}

/**
 * Writes a heartbeat, reads the whole store with the other connection, and releases the lease of the heartbeat.
 *
 * A lease is the only row that the store deletes on demand; a claimed send would stay in the ledger. No send belongs to this lease, so no
 * other process acts on it. If this process dies in between, it expires after ten seconds.
 */
async function exercise(store: Store, maxMb: number, advice: Advice): Promise<Check[]> {
  const owner = `doctor-${randomUUID()}`
  const written = await attempt(advice, 'writing', verbMs, store.heartbeat(owner), ms => ({
    detail: `wrote a heartbeat in ${ms} ms, and deleted it`,
  }))
  const read = await attempt(advice, 'reading', readMs, store.check(), (ms, { problems, bytes }) => {
    const facts = { bytes, maxMb, problems: problems.length }
    const used = bytes / (maxMb * 1_048_576)
    if (problems.length > 0) return { ...broken(advice, 'reading', 'corrupt'), facts }
    return {
      ...(used > nearlyFull &&
        used <= 1 && {
          verdict: 'warning',
          todo: 'Raise STORE_MAX_MB, or lower SENDS_KEEP_HOURS or EVENTS_KEEP_HOURS',
        }),
      detail: `read all of it in ${ms} ms, no damage; ${megabytes(bytes)} of ${maxMb} MB used`,
      facts,
    }
  })
  const queue = await attempt(advice, 'queue', verbMs, store.backlog(), (_, { waiting, held }) => ({
    ...(held > 0 && {
      verdict: 'warning',
      todo: 'npm run -s store -- release-queue lets them go, once you know that they have not gone already',
    }),
    detail: `queued sends: ${waiting} wait, ${held} are held`,
    facts: { waiting, held },
  }))
  const erased = await attempt(advice, 'erasing', verbMs, store.release(owner), () => ({}))
  return [written.verdict === 'ok' && erased.verdict !== 'ok' ? erased : written, read, queue]
}

/** A ledger that does not work has been reported. */
function notTried(error: unknown): Check[] {
  if (!(error instanceof StoreUnavailableError)) throw error
  return [{ section: 'media', check: 'probe file', verdict: 'skipped', detail: 'not fetched: the ledger does not work' }]
}

type Describe<T> = (ms: number, value: T) => Partial<Check>

async function attempt<T>(advice: Advice, check: string, withinMs: number, verb: Promise<T>, describe: Describe<T>): Promise<Check> {
  const startedAt = performance.now()
  try {
    const value = await within(withinMs, verb)
    const ms = Math.round(performance.now() - startedAt)
    const { facts, ...result } = describe(ms, value)
    return { section, check, verdict: 'ok', detail: '', ...result, facts: { ms, ...facts } }
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error
    return broken(advice, check, error.cause)
  }
}

function broken(advice: Advice, check: string, fault: StoreFault, message?: string): Check {
  const [detail, todo] = advice[fault]
  return { section, check, verdict: 'broken', detail: message ?? detail, todo, facts: { fault } }
}

function checkFolder(wanted: string): Check {
  try {
    const folder = existing(wanted)
    if (!statSync(folder).isDirectory()) throw new Error('not a folder')
    accessSync(folder, constants.W_OK | constants.X_OK)
    return { section, check: 'place', verdict: 'note', detail: 'there is no ledger yet; the gateway can create it there when it starts' }
  } catch {
    return broken(fileAdvice, 'place', 'readonly', 'there is no ledger yet, and the gateway cannot create it there')
  }
}

const megabytes = (bytes: number) => (bytes / 1_048_576).toFixed(1)

const existing = (folder: string): string =>
  statSync(folder, { throwIfNoEntry: false }) || dirname(folder) === folder ? folder : existing(dirname(folder))
