import { expect } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import type { Observe } from '../../src/events.ts'
import { Pollers } from '../../src/live/pollers.ts'
import type { PollerHooks } from '../../src/live/ports.ts'
import { readsOf } from '../../src/parts/pollers.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { LoggedEvent } from '../../src/store/event-log.ts'
import { openStore } from '../../src/store/open.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { test as base, environment } from '../gateway.ts'

type Options = {
  channels?: string[]
  keepMs?: number
  hooks?: PollerHooks
  env?: Record<string, string>
  storeUrl?: string
}

export type Polling = {
  /** The events of the log. */
  events(): Promise<LoggedEvent[]>
  /** Ends, as a process that is stopped; what is stored remains. */
  stop(): Promise<void>
  /** Erases a person, as the operator does. */
  forget(destination: string): Promise<unknown>
  observed: { event: string; details: Record<string, unknown> }[]
  pollers: Pollers
  upstream: ReturnType<typeof createUpstream>
}

/** How many polls have ended, well or not. */
export const polls = ({ observed }: Polling, ok: boolean) =>
  observed.filter(({ event, details }) => event === 'pollEnded' && details.ok === ok).length

/** Waits until every channel has its baseline, and then for two more polls. */
export async function quiet(polling: Polling, channels = 1) {
  const before = polls(polling, true)
  await expect.poll(() => polls(polling, true) - before).toBeGreaterThanOrEqual(3 * channels)
}

/** The messages that came, in the order of the log. */
export const created = async ({ events }: Polling) =>
  (await events()).filter(({ type }) => type === 'message.created').map(({ messageId }) => messageId)

type Fixtures = {
  startPolling: (options?: Options) => Promise<Polling>
  /** The same, once so many channels have their baseline. */
  startQuiet: (options: Options, channels?: number) => Promise<Polling>
}

/** Polls a sandbox into a store of its own. Several at one time are several processes on that store. */
export const test = base.extend<Fixtures>({
  startPolling: async ({ sandbox }, use) => {
    const stores = new Map<string, Awaited<ReturnType<typeof openStore>>>()
    const running: Polling[] = []
    await use(async (options = {}) => {
      const { storeUrl = 'sqlite::memory:' } = options
      const store = stores.get(storeUrl) ?? (await openStore(storeUrl, { keepMs: 1e9, keepUnknownMs: 1e9, leaseMs: 10_000, maxBytes: 1e9 }))
      stores.set(storeUrl, store)
      const polling = poll(sandbox, store, options)
      running.push(polling)
      return polling
    })
    for (const { stop } of running) await stop()
    for (const store of stores.values()) await store.close()
  },
  startQuiet: async ({ startPolling }, use) => {
    await use(async (options, channels) => {
      const polling = await startPolling(options)
      await quiet(polling, channels)
      return polling
    })
  },
})

function poll(
  sandbox: Sandbox,
  store: Awaited<ReturnType<typeof openStore>>,
  { channels = ['*'], keepMs = 1e9, hooks = {}, env }: Options,
): Polling {
  const observed: Polling['observed'] = []
  const observe: Observe = (event, details) => void observed.push({ event, details })
  const upstream = createUpstream({ ...readConfig({ ...environment(sandbox), ...env }), observe })
  const pollers = new Pollers({
    leases: store.leases,
    log: store.log,
    secret: () => store.secret(),
    keepMs,
    hooks,
    observe,
    storeTimeoutMs: 5_000,
    reads: account => readsOf(upstream, account),
  })
  pollers.reload({ default: { channels, intervalMs: 20 } })
  return {
    events: async () => (await store.log.read('default', 0, 1_000)).events,
    async stop() {
      await pollers.stop()
      await upstream.close()
    },
    forget: destination => store.forget(destination),
    observed,
    pollers,
    upstream,
  }
}
