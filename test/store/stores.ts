import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import type { OpenedStore } from '../../src/store/adapter.ts'
import type { EventLog, Leases } from '../../src/store/event-log.ts'
import { openSqlite, type SqliteOptions } from '../../src/store/sqlite/sqlite.ts'
import { type Store, type StoreFault, StoreUnavailableError } from '../../src/store/store.ts'
import type { Call } from './process.ts'
import { policy } from './sends.ts'

type Here = {
  dir: string
  path: string
  /** What `onState` has heard. */
  states: (StoreFault | 'ok')[]
  open: (over?: Partial<SqliteOptions>) => Promise<OpenedStore>
  remote: (program?: string[]) => ReturnType<typeof remoteStore>
}
/** A directory, a path in it and openers for it; everything opened is closed after the test. */
export const test = base.extend<Here>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  dir: async ({}, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'store-'))
    await use(dir)
    rmSync(dir, { recursive: true })
  },
  path: async ({ dir }, use) => use(join(dir, 'gateway.sqlite')),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  states: async ({}, use) => use([]),
  open: async ({ path, states }, use) => {
    const opened: Store[] = []
    await use(async over => {
      const store = await openSqlite({ ...policy, path, onState: (ok, fault) => states.push(ok ? 'ok' : (fault ?? 'io')), ...over })
      opened.push(store)
      return store
    })
    for (const store of opened) await store.close()
  },
  remote: async ({ path }, use) => {
    const started: Awaited<ReturnType<typeof remoteStore>>[] = []
    await use(async program => {
      const remote = await remoteStore(`sqlite:${path}`, program)
      started.push(remote)
      return remote
    })
    for (const { end } of started) await end()
  },
})

/** What a verb rejects with. */
export const unavailable = (cause: StoreFault) => expect.objectContaining({ name: 'StoreUnavailableError', cause })
/** The error of a call, or undefined. */
export const refused = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    error => error,
  )

type Answer = { seq: number; value?: never; failed?: { fault?: never; message: string } }

/** A store in a process of its own, which can be killed; `program` runs Node under other rules than ours. */
export async function remoteStore(url: string, program: string[] = []) {
  const [execPath = '', ...execArgv] = [...program, process.execPath]
  const child = fork(join(import.meta.dirname, 'process.ts'), [url], { execPath, execArgv, serialization: 'advanced' })
  const waiting = new Map<number, (answer: Answer) => void>()
  let seq = 0
  child.on('message', (answer: Answer) => waiting.get(answer.seq)?.(answer))
  await once(child, 'message')

  const call = (verb: Call['verb'], ...args: never[]) =>
    new Promise((resolve, reject) => {
      const message: Call = { seq: ++seq, verb, args }
      waiting.set(seq, ({ value, failed }) => {
        if (!failed) resolve(value)
        else reject(failed.fault ? new StoreUnavailableError(failed.fault) : new Error(failed.message))
      })
      child.send(message, () => {}) // a killed child answers nothing
    })
  // Each verb of a port, passed on by its name
  const get = (_: object, verb: string | symbol) => (verb === 'then' ? undefined : call.bind(undefined, verb as Call['verb']))
  return {
    store: new Proxy<Store>({} as Store, { get }),
    live: new Proxy<Leases & EventLog>({} as Leases & EventLog, { get }),
    pid: child.pid ?? 0,
    async end(signal: NodeJS.Signals = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill(signal)
      await once(child, 'exit')
    },
  }
}

/** Whether a program that some tests need is here. */
export const installed = (program: string) => spawnSync(program, ['--version']).error === undefined
