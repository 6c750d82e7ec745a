import { test as base, describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { DeliveryChange, FailedDelivery } from '../../src/store/deliveries.ts'
import type { EventStore } from '../../src/store/event-log.ts'
import type { Archive, Store } from '../../src/store/store.ts'
import { policy } from './sends.ts'

const hour = 3_600_000

/** An event like any other that an endpoint has refused. */
export const failed = (position: number, over: Partial<FailedDelivery> = {}): FailedDelivery => ({
  position,
  eventId: `e${position}`,
  type: 'message.created',
  at: position,
  destination: '34600000000',
  attempts: 5,
  lastStatus: 400,
  lastError: null,
  lastAttemptAt: 1_000,
  ...over,
})
const change = (over: Partial<DeliveryChange> = {}): DeliveryChange => ({
  saved: { account: 'main', state: '{"position":1}' },
  failed: [],
  cleared: [],
  handled: 0,
  ...over,
})

/** What the webhooks of any adapter must hold; `open` gives an empty store. */
export function deliveryContract(name: string, open: (options: StoreOptions) => Promise<Store & Archive & EventStore>) {
  type Fixtures = { store: Store & Archive & EventStore; deliveries: EventStore['deliveries']; lease: { name: string; fence: number } }
  const test = base.extend<Fixtures>({
    // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
    store: async ({}, use) => {
      const store = await open(policy)
      await use(store)
      await store.close()
    },
    deliveries: ({ store }, use) => use(store.deliveries),
    lease: async ({ store }, use) => use({ name: 'webhook:crm', fence: (await store.leases.acquire('webhook:crm', 'a', 60_000)) ?? 0 }),
  })
  const positions = async ({ failed }: EventStore['deliveries'], after = -1, limit = 1_000) =>
    (await failed('crm', after, limit)).map(({ position }) => position)

  describe(`${name}: webhooks`, () => {
    test('begin unknown, and remember what was saved last', async ({ deliveries, lease }) => {
      expect(await deliveries.webhook('crm')).toEqual({ requests: [] })
      await deliveries.save('crm', lease, change())
      await deliveries.save('crm', lease, change({ saved: { account: 'main', state: 'last' } }))

      expect(await deliveries.webhook('crm')).toEqual({ saved: { account: 'main', state: 'last' }, requests: [] })
      expect(await deliveries.webhook('other')).toEqual({ requests: [] })
    })

    test('apply nothing of an old fence', async ({ store, deliveries, lease }) => {
      await store.leases.release(lease.name, lease.fence)
      const next = (await store.leases.acquire(lease.name, 'b', 60_000)) ?? 0
      await deliveries.request('crm', 'x')

      expect(await deliveries.save('crm', lease, change({ failed: [failed(1)], handled: 9 }))).toBe(false)
      expect(await deliveries.webhook('crm')).toMatchObject({ requests: [{ request: 'x' }] })
      expect(await positions(deliveries)).toEqual([])
      expect(await deliveries.save('crm', { ...lease, fence: next }, change())).toBe(true)
    })

    test('keep what failed, by page, until it is cleared', async ({ deliveries, lease }) => {
      const rows = [failed(5), failed(7, { destination: null, lastStatus: null, lastError: 'no answer' }), failed(1_700_000_000_000_001)]
      await deliveries.save('crm', lease, change({ failed: rows }))

      expect(await deliveries.failed('crm', -1, 10)).toEqual(rows)
      expect(await positions(deliveries, 5)).toEqual([7, 1_700_000_000_000_001])
      expect(await positions(deliveries, -1, 1)).toEqual([5])
      await deliveries.save('crm', lease, change({ cleared: [5], failed: [failed(3)] }))
      expect(await positions(deliveries)).toEqual([3, 7, 1_700_000_000_000_001])
      await deliveries.save('crm', lease, change({ clearedAfter: 3 }))
      expect(await positions(deliveries)).toEqual([3])
    })

    test('keep requests in order until they are handled, at most a hundred', async ({ deliveries, lease }) => {
      for (let n = 1; n <= 102; n++) await deliveries.request('crm', `r${n}`)
      await deliveries.request('other', 'x')
      const { requests } = await deliveries.webhook('crm')

      expect(requests.map(({ request }) => request)).toEqual(Array.from({ length: 100 }, (_, n) => `r${n + 3}`))
      await deliveries.save('crm', lease, change({ handled: requests[98]?.id ?? 0 }))
      expect((await deliveries.webhook('crm')).requests).toEqual([requests[99]])
      expect((await deliveries.webhook('other')).requests).toHaveLength(1)
    })

    test('delete what failed long ago or while a clock was far ahead, but not because the clock has just jumped', async () => {
      const clock = { ms: 1_000_000, up: 0 }
      const { deliveries, leases, close } = await open({ ...policy, now: () => clock.ms, monotonic: () => clock.up })
      const pass = (ms: number) => Object.assign(clock, { ms: clock.ms + ms, up: clock.up + ms })
      const lease = { name: 'webhook:crm', fence: (await leases.acquire('webhook:crm', 'a', 60_000)) ?? 0 }
      const ahead = failed(0, { at: clock.ms + 9_000 * hour })
      const many = Array.from({ length: 250 }, (_, n) => failed(n + 1, { at: clock.ms }))
      await deliveries.save('crm', lease, change({ failed: [ahead, ...many] }))
      pass(hour)
      await deliveries.save('crm', lease, change({ failed: [failed(251, { at: clock.ms })] }))
      const found = [await deliveries.deleteFailed(2 * hour)]
      clock.ms += 100 * hour
      found.push(await deliveries.deleteFailed(hour / 2))
      clock.ms -= 100 * hour
      found.push(await deliveries.deleteFailed(2 * hour))
      pass(hour / 4)
      found.push(await deliveries.deleteFailed(hour))
      const left = await positions(deliveries)
      await close()

      expect({ found, left }).toEqual({ found: [0, 0, 0, 251], left: [251] })
    })

    test('forget a destination', async ({ store, deliveries, lease }) => {
      const many = Array.from({ length: 250 }, (_, n) => failed(n))
      await deliveries.save('crm', lease, change({ failed: [...many, failed(2, { destination: '34600000001' })] }))
      await store.forget('34600000000')

      expect(await positions(deliveries)).toEqual([2])
    })

    test('move to another store, where nothing that is known is replaced', async ({ deliveries, lease }) => {
      const many = Array.from({ length: 1_001 }, (_, n) => failed(n)) // more than a page
      await deliveries.save('crm', lease, change({ failed: many }))
      const [crm] = await deliveries.dumpWebhooks()

      expect(crm).toEqual({ name: 'crm', ...change().saved, failed: many })
      const other = { name: 'copy', ...change().saved, failed: [failed(4)] }
      expect(await deliveries.loadWebhook(other)).toBe(true)
      expect(await deliveries.loadWebhook({ ...other, state: 'older' })).toBe(false)
      expect((await deliveries.dumpWebhooks()).map(({ name }) => name)).toEqual(['copy', 'crm'])
      expect(await deliveries.failed('copy', -1, 10)).toEqual([failed(4)])
      expect((await deliveries.webhook('copy')).saved).toEqual(change().saved)
    })
  })
}
