import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type StoreFault, StoreUnavailableError, StoreVersionError } from '../store.ts'
import type { Call, Reply, Verbs, WorkerSettings } from './worker.ts'

/** A worker thread that can be asked for the verbs of `sqlite-verbs.ts`. */
export type Thread = {
  call<V extends keyof Verbs>(verb: V, ...args: Args<V>): Promise<ReturnType<Verbs[V]>>
  /** Answers what was asked before, if that takes no more than a second, then ends; later calls are refused. */
  close(): Promise<void>
}

type Args<V extends keyof Verbs> = Verbs[V] extends (scope: never, ...args: infer A) => unknown ? A : never
type Waiter = { resolve: (value: never) => void; reject: (error: Error) => void }

const closeMs = 1_000 // a disk that hangs must not hold up the end of the process

// V8 would rather let the heap grow to several times what is in use than collect it.
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 96 }

/** Starts with the first call, and again with the first call after its death; `report` hears how the store is. */
export function createThread(workerData: WorkerSettings, now: () => number, report: (fault?: StoreFault) => void): Thread {
  const waiting = new Map<number, Waiter>()
  let outbox: Call[] = []
  let worker: Worker | undefined
  let closing: Promise<void> | undefined
  let seq = 0

  function start() {
    const started = new Worker(new URL('./worker.ts', import.meta.url), { workerData, env: {}, name: 'store', resourceLimits })
    started.on('message', receive)
    started.on('error', () => {}) // an exit follows
    started.on('exit', () => {
      worker = undefined
      if (!closing) report('worker')
      for (const { reject } of waiting.values()) reject(new StoreUnavailableError('worker'))
      waiting.clear()
      outbox = []
    })
    return started
  }

  function receive({ answers, state }: Reply) {
    if (state) report(state.fault)
    for (const { seq, value, fault, message } of answers) {
      const waiter = waiting.get(seq)
      waiting.delete(seq)
      if (message === undefined)
        waiter?.resolve(value as never) // typed by `call`
      else if (fault === 'version') waiter?.reject(new StoreVersionError(message))
      else waiter?.reject(fault ? new StoreUnavailableError(fault) : new Error(message))
    }
  }

  /** What one turn of the event loop asks for goes over together: a message costs as much as what is in it. */
  function post() {
    if (outbox.length === 0) return // the thread has died since
    worker ??= start()
    worker.postMessage(outbox)
    outbox = []
  }

  const thread: Thread = {
    call(verb, ...args) {
      return new Promise((resolve, reject) => {
        if (closing) throw new StoreUnavailableError('closed')
        outbox.push({ seq: ++seq, now: now(), verb, args })
        waiting.set(seq, { resolve, reject })
        if (outbox.length === 1) setImmediate(post)
      })
    },
    close() {
      const drained = worker || outbox.length > 0 ? thread.call('close').catch(() => {}) : Promise.resolve() // a dead worker has nothing left to close
      closing ??= Promise.race([drained, sleep(closeMs, undefined, { ref: false })])
        .then(() => worker?.terminate())
        .then(() => {})
      return closing
    },
  }
  return thread
}
