import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { openLive } from '../../src/parts/live.ts'
import { connectPollers } from '../../src/parts/pollers.ts'
import { openStore } from '../../src/store/open.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { environment } from '../gateway.ts'
import { created } from '../store/event-contract.ts'
import { withStore } from '../store/with-store.ts'

const test = withStore(options => openStore('sqlite::memory:', options), 1_000_000)
const hour = 3_600_000

const env = environment({ url: 'http://127.0.0.1:9', user: 'demo@sandbox.invalid' })
const open = (store: Pick<Awaited<ReturnType<typeof openStore>>, 'log' | 'deliveries' | 'secret'>) => {
  const config = readConfig(env)
  return openLive({ config, store, secret: store.secret, upstream: createUpstream(config), observe: () => {} })
}

describe('A process without events', () => {
  test('deletes what is left of events and failed deliveries, and nothing that another process uses', async ({ store, clock }) => {
    const { log, leases, deliveries } = store
    for (const account of ['left', 'used']) {
      await log.open(account)
      await log.append(account, { states: [{ key: 'k', destination: '34600000000', state: 's' }], events: [created('1')] })
    }
    const lease = { name: 'webhook crm', fence: (await leases.acquire('webhook crm', 'a', 60_000)) ?? 0 }
    const about = { position: 1, eventId: 'e', type: 'message.created', at: clock.ms, destination: '34600000000' }
    const tries = { attempts: 5, lastStatus: 400, lastError: null, lastAttemptAt: clock.ms }
    const saved = { account: 'used', state: '{"position":1}' }
    await deliveries.save('crm', lease, { saved, failed: [{ ...about, ...tries }], cleared: [], handled: 0 })
    const failed = () => deliveries.failed('crm', -1, 10)
    clock.ms += 100 * hour
    await log.open('used')

    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const live = await open(store)
    onTestFinished(() => {
      live.close()
      vi.useRealTimers()
    })
    vi.advanceTimersByTime(60_000)
    await expect.poll(() => log.accounts()).toEqual(['used'])
    expect((await log.states('left')).states).toEqual([])
    expect((await log.read('used', 0, 10)).events).toHaveLength(1)
    expect(await failed()).toHaveLength(1)
    clock.ms += 100 * hour
    vi.advanceTimersByTime(60_000)

    await expect.poll(failed).toEqual([])
    expect(await log.accounts()).toEqual([])
  })
  test('opens none after it was closed, though a reload was about to', async ({ store }) => {
    const live = await open(store)
    const reloaded = live.reload(readConfig({ ...env, EVENTS_CHANNELS: '*' }))
    live.close()
    await reloaded

    expect(live.current()).toBeUndefined()
  })
})

test('A process that was stopped polls nothing, though it was about to begin', async ({ store }) => {
  const config = readConfig({ ...env, EVENTS_CHANNELS: '*' })
  const hooks = { onRead: async () => {} }
  const more = { secret: store.secret, upstream: createUpstream(config), hooks, observe: () => {}, timeoutMs: 5_000 }
  const pollers = connectPollers({ ...config, store, ...more })
  const begun = pollers.start()
  await pollers.stop()
  await begun

  expect(await store.leases.acquire('poller default', 'another', 60_000)).toBeDefined()
})
