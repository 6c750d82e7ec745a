import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { Batch } from '../../lib/worker-client.ts'
import type { Times } from '../clock.ts'
import { compareLedger, type LedgerMemory } from '../identity.ts'
import type { StoreFault, StorePolicy } from '../store.ts'
import { deliveryReads, deliveryWrites } from './delivery-verbs.ts'
import { logReads, logWrites } from './event-log.ts'
import { faultOf } from './faults.ts'
import { openFile, type SqliteFile } from './file.ts'
import { forgetRenewals } from './leases.ts'
import { mediaReads, mediaWrites } from './media.ts'
import { reads, upkeep } from './reads.ts'
import { migrations } from './schema.ts'
import { flush, markIn, type VerbContext } from './verb-context.ts'
import { writes as ledgerWrites } from './writes.ts'

/** What the worker gets at its start; `memory` is what its predecessor knew of the ledger. */
export type WorkerSettings = Omit<StorePolicy, 'now' | 'monotonic'> & {
  path: string
  maxBytes: number
  busyMs: number
  process: string
  memory?: LedgerMemory | undefined
}

/** What a batch has learnt: how the store is, what this process is to remember of its ledger, and which accounts have new events. */
export type Learnt = { state?: { fault?: StoreFault }; memory?: LedgerMemory | undefined; logged?: string[] }

/** What is wrong with a call: without a `fault` the call itself. */
export type Refusal = { fault?: StoreFault | undefined; message: string }

const writes = { ...ledgerWrites, ...logWrites, ...deliveryWrites, ...mediaWrites }
const verbs = { ...writes, ...reads, ...logReads, ...deliveryReads, ...mediaReads, ...upkeep, close: () => disconnect() }

/** Everything that the worker can be asked. */
export type Verbs = typeof verbs

type Call = { name: keyof Verbs; args: unknown[] }
type CallResult = { error: Refusal | null; value?: unknown }

const { memory: remembered, ...settings } = workerData as WorkerSettings // thread.ts passes nothing else
const port = parentPort as MessagePort // this file runs as a worker only

const retryFactor = 10 // a failed migration waits for ten times as long as it took: without room on the disk, each one fills the disk

let file: SqliteFile | undefined
let failed: { error: unknown; until: number } | undefined
let memory = remembered

port.on('message', ([times, ...flat]: Batch) => {
  const calls: Call[] = []
  for (let n = 0; n < flat.length; n += 2) calls.push({ name: flat[n] as keyof Verbs, args: flat[n + 1] as unknown[] }) // typed by `call` in thread.ts
  const { learnt, answers } = serve(calls, times as Times) // as thread.ts says it
  const reply: Batch = [learnt]
  for (const { error, value } of answers) reply.push(error, value)
  port.postMessage(reply)
})

/** Commits all writes of a batch at once, then reads: a fault of the store fails the writes together, a wrong call fails alone. */
function serve(calls: Call[], times: Times): { learnt: Learnt; answers: CallResult[] } {
  const moved = file?.moved()
  if (moved === 'log' && memory) memory = { ...memory, identity: '' } // what was in it may be lost: like no other ledger
  if (moved) disconnect()
  const answers: CallResult[] = []
  const learnt: Learnt = {}
  const writing = calls.some(({ name }) => name in writes)
  if (writing) {
    try {
      const { transaction, bytes } = connect()
      const over = bytes() > settings.maxBytes
      const { known, context } = transaction(() => {
        const mark = markIn(connect())
        const next = compareLedger(memory, mark, times.now)
        const context = contextOf(times, next, mark.clock, over)
        for (const [n, call] of calls.entries()) if (call.name in writes) answers[n] = attempt(call, context)
        flush(context)
        const claims = next.claims + (next.refused === undefined ? context.claims : 0)
        return { known: { ...next, claims }, context }
      })
      memory = known
      if (context.logged.size > 0) learnt.logged = [...context.logged]
      learnt.state = context.over ? { fault: 'limit' } : {}
    } catch (error) {
      learnt.state = { fault: lost(error) }
      for (const [n, { name }] of calls.entries()) if (name in writes) answers[n] = { error: refusalOf(error) }
    }
  }
  for (const [n, call] of calls.entries()) {
    if (call.name in writes) continue
    try {
      answers[n] = attempt(call, contextOf(times, memory, memory?.clock ?? 0, false))
    } catch (error) {
      learnt.state = { fault: lost(error) }
      answers[n] = { error: refusalOf(error) }
    }
  }
  if (file && !file.writable) disconnect()
  return { learnt: { ...learnt, memory }, answers }
}

/** Until the main thread knows what time the ledger remembers, rows do not expire by a later time: see clock.ts. */
function contextOf(times: Times, known: LedgerMemory | undefined, clock: number, over: boolean): VerbContext {
  const { keepMs, keepUnknownMs, leaseMs, maxBytes, process } = settings
  const isNew = memory === undefined && clock > 0
  const trusted = isNew ? Math.min(times.trusted, clock) : times.trusted
  return {
    ...times,
    get file() {
      return connect()
    },
    trusted,
    latest: isNew ? Math.max(times.latest, clock) : times.latest,
    horizon: [trusted - keepUnknownMs, trusted - keepMs],
    leaseMs,
    maxBytes,
    process,
    over,
    madeRoom: false,
    changed: known?.refused !== undefined,
    claims: 0,
    counts: new Map(),
    logged: new Set(),
  }
}

/** Throws only faults of the whole store. */
function attempt({ name, args }: Call, context: VerbContext): CallResult {
  const run = verbs[name] as (context: VerbContext, ...args: unknown[]) => unknown // see Call
  try {
    return { error: null, value: run(context, ...args) }
  } catch (error) {
    const fault = faultOf(error)
    if (fault && fault !== 'limit' && fault !== 'changed') throw error
    return { error: refusalOf(error) }
  }
}

const refusalOf = (error: unknown): Refusal => ({
  fault: faultOf(error),
  message: error instanceof Error ? error.message : 'Unknown error',
})

function connect(): SqliteFile {
  file ??= open()
  return file
}

function open(): SqliteFile {
  if (failed && performance.now() < failed.until) throw failed.error
  failed = undefined
  const began = performance.now()
  let migrates = false
  try {
    return openFile(settings.path, settings.busyMs, found => {
      migrates = true
      port.postMessage(migrating(found))
    })
  } catch (error) {
    if (migrates) {
      const retryMs = (performance.now() - began) * retryFactor
      failed = { error, until: performance.now() + retryMs }
      port.postMessage(failing(faultOf(error) ?? 'io', retryMs))
    }
    throw error
  }
}

const migrating = (version: number) =>
  `migrating the ledger from schema version ${version} to ${migrations.length}: until it is done, sends get 503; afterwards, older releases cannot use it`
const failing = (fault: StoreFault, retryMs: number) =>
  `the migration of the ledger to schema version ${migrations.length} failed (${fault}) and changed nothing: sends get 503, and the gateway tries again in ${Math.ceil(retryMs / 1_000)} seconds`

/** A busy file is fine; any other is opened afresh by the next call, which is how it heals. */
function lost(error: unknown): StoreFault {
  const fault = faultOf(error) ?? 'io'
  if (fault !== 'busy') disconnect()
  return fault
}

function disconnect() {
  forgetRenewals()
  try {
    file?.close()
  } catch {
    // what is lost may refuse even this
  }
  file = undefined
}
