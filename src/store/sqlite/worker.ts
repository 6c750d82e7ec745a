import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { StoreFault, StorePolicy } from '../store.ts'
import { faultOf } from './faults.ts'
import { openFile, type SqliteFile } from './file.ts'
import { reads, type Scope, upkeep, writes } from './verbs.ts'

/** What the worker is told at birth. */
export type WorkerSettings = Omit<StorePolicy, 'now'> & { path: string; maxBytes: number; busyMs: number }

const verbs = { ...writes, ...reads, ...upkeep, close: () => disconnect() }

/** Everything that the worker can be asked. */
export type Verbs = typeof verbs

/** A verb on its way in, with the time at its caller; `call` in sqlite.ts has checked the arguments against the verb. */
export type Call = { seq: number; now: number; verb: keyof Verbs; args: unknown[] }

/** How a call ended: a `message` without a `fault` says that the call itself was wrong. */
export type Answer = { seq: number; value?: unknown; fault?: StoreFault | undefined; message?: string }

/** The answers of a batch, and how the store is where the batch has learnt it. */
export type Reply = { answers: Answer[]; state?: { fault?: StoreFault } }

const settings = workerData as WorkerSettings // sqlite.ts passes nothing else
const port = parentPort as MessagePort // this file runs as a worker only
const batchMax = 512 // bounds how long one transaction keeps other processes waiting

let file: SqliteFile | undefined

port.on('message', (first: Call[]) => {
  const batch = first
  while (batch.length < batchMax) {
    const next = receiveMessageOnPort(port)
    if (!next) break
    batch.push(...(next.message as Call[]))
  }
  for (let at = 0; at < batch.length; at += batchMax) port.postMessage(serve(batch.slice(at, at + batchMax)))
})

/** Commits all writes of a batch at once, then reads: what ails the store fails the writes together, a wrong call fails alone. */
function serve(batch: Call[]): Reply {
  if (file?.moved()) disconnect()
  const writing = batch.filter(({ verb }) => verb in writes)
  const reply: Reply = { answers: [] }
  try {
    if (writing.length > 0) {
      const { transaction, part, bytes } = connect()
      const over = bytes() > settings.maxBytes
      reply.answers = transaction(() => writing.map(call => attempt(call, over, part)))
      reply.state = over ? { fault: 'limit' } : {}
    }
  } catch (error) {
    reply.state = { fault: lost(error) }
    reply.answers = writing.map(call => refusal(call, error))
  }
  for (const call of batch.filter(({ verb }) => !(verb in writes))) {
    try {
      reply.answers.push(attempt(call, false, work => work()))
    } catch (error) {
      reply.state = { fault: lost(error) }
      reply.answers.push(refusal(call, error))
    }
  }
  if (file && !file.writable) disconnect()
  return reply
}

/** Throws only what ails the whole store. */
function attempt(call: Call, over: boolean, bracket: SqliteFile['part']): Answer {
  const { keepMs, keepUnknownMs, leaseMs } = settings
  const { seq, now, verb, args } = call
  const run = verbs[verb] as (scope: Scope, ...args: unknown[]) => unknown // see Call
  try {
    const scope: Scope = {
      now,
      horizon: [now - keepUnknownMs, now - keepMs],
      leaseUntil: now + leaseMs,
      over,
      get file() {
        return connect()
      },
    }
    return { seq, value: bracket(() => run(scope, ...args)) }
  } catch (error) {
    const fault = faultOf(error)
    if (fault && fault !== 'limit') throw error
    return refusal(call, error)
  }
}

function refusal({ seq }: Call, error: unknown): Answer {
  return { seq, fault: faultOf(error), message: error instanceof Error ? error.message : 'Unknown error' }
}

function connect(): SqliteFile {
  file ??= openFile(settings.path, settings.busyMs)
  return file
}

/** A busy file is fine; any other is opened afresh by the next call, which is how it heals. */
function lost(error: unknown): StoreFault {
  const fault = faultOf(error) ?? 'io'
  if (fault !== 'busy') disconnect()
  return fault
}

function disconnect() {
  try {
    file?.close()
  } catch {
    // what is lost may refuse even this
  }
  file = undefined
}
