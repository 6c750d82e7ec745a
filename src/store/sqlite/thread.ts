import { getCompileCacheDir } from 'node:module'
import { Worker } from 'node:worker_threads'
import { WorkerClient } from '../../lib/worker-client.ts'
import type { LedgerClock } from '../clock.ts'
import type { LedgerMemory } from '../identity.ts'
import { LedgerChangedError, type LedgerListener, type StoreFault, StoreUnavailableError, StoreVersionError } from '../store.ts'
import type { Learnt, Refusal, Verbs, WorkerSettings } from './worker.ts'

/** A worker thread that runs the verbs of `worker.ts`. Rejects with `StoreUnavailableError` or one of its kinds. */
export type Thread = {
  call<V extends keyof Verbs>(verb: V, args: Args<V>, slow?: boolean): Promise<ReturnType<Verbs[V]>>
  close(): Promise<void>
}

type Args<V extends keyof Verbs> = Verbs[V] extends (context: never, ...args: infer A) => unknown ? A : never

type ThreadOptions = {
  settings: WorkerSettings
  clock: LedgerClock
  silentMs?: number | undefined
  report: (fault?: StoreFault) => void
  onLedger?: LedgerListener
  onWarning?: (warning: string) => void
  /** The event log of an account has grown. */
  onLogged?: (account: string) => void
}

// V8 would rather let the heap grow to several times what is in use than collect it.
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 96 }
const usualSilentMs = 1_800 // how long a call waits for a disk that hangs
const startMs = 5_000 // to be reported as lost within five seconds
const closeMs = 1_000 // a disk that hangs must not hold up the end of the process
const batchMax = 512 // bounds how long one transaction keeps other processes waiting

export function createThread(options: ThreadOptions): Thread {
  const { settings, clock, silentMs = usualSilentMs, report, onLedger = () => {}, onWarning, onLogged = () => {} } = options
  const compileCache = getCompileCacheDir()
  let memory: LedgerMemory | undefined

  return new WorkerClient({
    start: () =>
      new Worker(new URL('./worker.ts', import.meta.url), {
        workerData: { ...settings, memory },
        env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }, // reading the sources again would be half of the thread's start
        name: 'store',
        resourceLimits,
      }),
    about: clock.read,
    onReply(about) {
      const { state, memory: known, logged = [] } = about as Learnt // as worker.ts says it
      if (state) report(state.fault)
      for (const account of logged) onLogged(account)
      if (!known) return
      if (!memory && known.clock > 0) clock.anchor(known.clock)
      const was = memory?.refused !== undefined
      memory = known
      if (was !== (known.refused !== undefined)) onLedger(!was)
    },
    onNotice: onWarning,
    onLost: why => report(why === 'dead' ? 'worker' : 'busy'),
    errors: {
      refused(error) {
        const { fault, message } = error as Refusal // as worker.ts says it
        if (fault === 'version') return new StoreVersionError(message)
        if (fault === 'changed') return new LedgerChangedError()
        return fault ? new StoreUnavailableError(fault, fault === 'io') : new Error(message) // what a commit failed to write may be read again
      },
      lost: (why, wasSent) => new StoreUnavailableError(why === 'dead' ? 'worker' : why === 'silent' ? 'busy' : 'closed', wasSent),
    },
    silentMs,
    startMs: Math.max(silentMs, startMs),
    closeMs,
    batchMax,
  }) as Thread // the worker has the verbs of this type
}
