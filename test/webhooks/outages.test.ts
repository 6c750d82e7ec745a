import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { EventStore } from '../../src/store/event-log.ts'
import { openStore } from '../../src/store/open.ts'
import { policy } from '../store/sends.ts'
import { noServer, type Server, startServer } from '../store/valkey/server.ts'
import { test as base, eventually } from './setup.ts'

let server: Server
/** How many saves the server has taken, and has not, and the most at a time; none begins before `gate` opens. */
type Saves = { taken: number; refused: number; open: number; mostOpen: number; gate: Promise<void> }
/** On a server. */
const test = base.extend<{ live: EventStore; saves: Saves }>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  saves: async ({}, use) => use({ taken: 0, refused: 0, open: 0, mostOpen: 0, gate: Promise.resolve() }),
  live: async ({ saves }, use) => {
    const store = await openStore(server.fresh(), policy)
    await store.log.open('main')
    const save: typeof store.deliveries.save = async (...args) => {
      saves.mostOpen = Math.max(saves.mostOpen, ++saves.open)
      await saves.gate
      const saving = store.deliveries.save(...args).finally(() => saves.open--)
      await saving.then(
        () => saves.taken++,
        () => saves.refused++,
      )
      return saving
    }
    await use({ leases: store.leases, log: store.log, deliveries: { ...store.deliveries, save } })
    await store.close()
  },
})

/** Has the server away while something is saved. */
async function outage(
  clock: { advance(ms: number): void },
  saves: { refused: number },
  live: EventStore,
  during: () => unknown = () => {},
) {
  await server.kill()
  await during()
  await eventually(() => {
    clock.advance(100)
    expect(saves.refused).toBeGreaterThan(1)
  })
  await server.restart()
  await eventually(() => live.log.read('main', 0, 1))
}

describe.skipIf(noServer)('A webhook whose store is away (needs redis-server)', () => {
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.end())

  const page = { limit: 10 } as const

  test('saves afterwards what was taken and what was refused meanwhile', async ({ append, clock, live, receiver, saves, start }) => {
    let take = () => {}
    receiver.answer = ({ event: { messageId } }) => {
      if (messageId === 'a1') return 422
      return messageId === 'b1'
        ? response => {
            take = () => response.writeHead(204).end()
          }
        : 204
    }
    const attempts = (messageId: string) => receiver.posts.filter(({ event }) => event.messageId === messageId).length
    const first = await start()
    await append('a1', 'b1')
    await eventually(() => {
      if (attempts('a1') < 4) clock.advance(500)
      expect([attempts('a1'), attempts('b1')]).toEqual([4, 1])
    })
    await outage(clock, saves, live, async () => {
      take()
      await eventually(() => {
        clock.advance(500)
        expect(attempts('a1')).toBe(5)
      })
    })

    await eventually(async () => {
      clock.advance(100)
      expect((await first.deliveries('main', 'crm', page)).items).toMatchObject([{ destination: 'a', state: 'failed', attempts: 5 }])
    })
    await first.stop()
    const second = start()
    await append('b2')
    await eventually(() => {
      clock.advance(3_000) // a busy server may not have heard that the lease is free
      expect(receiver.taken).toEqual(['b2'])
    })
    await second
    expect([attempts('a1'), attempts('b1')]).toEqual([5, 1])
  })

  test('saves what was taken while a save was under way', async ({ append, clock, receiver, saves, webhooks }) => {
    let take = () => {}
    receiver.answer = ({ event }) => {
      if (event.messageId !== 'b1') return 204
      return response => {
        take = () => response.writeHead(204).end()
      }
    }
    const saved = (times: number) => eventually(() => expect(saves.taken).toBe(times))
    await append('b1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    clock.advance(2_000)
    await saved(2) // the first is that of its start
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    const { promise, resolve: open } = Promise.withResolvers<void>()
    saves.gate = promise
    clock.advance(100)
    take()
    await eventually(() => expect(webhooks.report()).toMatchObject([{ lag: 0 }])) // nothing waits any more
    clock.advance(100)
    const redriven = webhooks.redrive('main', 'crm', { failed: true }) // which saves, too
    open()
    await redriven
    await saved(3)
    clock.advance(100)
    await eventually(() => expect(saves.taken).toBeGreaterThan(3))

    expect(saves.mostOpen).toBe(1)
    expect((await webhooks.deliveries('main', 'crm', page)).items).toEqual([])
  })

  test.for(['failed', 'after'] as const)(
    'keeps in mind what was redriven: %s',
    async (what, { append, clock, live, receiver, saves, webhooks }) => {
      receiver.answer = ({ event: { messageId } }) => (messageId === 'a1' ? 422 : 204)
      await append('b1')
      await eventually(() => expect(receiver.taken).toEqual(['b1']))
      await append('a1')
      await eventually(async () => {
        clock.advance(500)
        expect((await webhooks.deliveries('main', 'crm', page)).items).toMatchObject([{ state: 'failed' }])
      })
      receiver.answer = () => 204
      await append('c1')
      await eventually(() => expect(receiver.taken).toEqual(['b1', 'c1'])) // which is not saved yet
      await webhooks.redrive('main', 'crm', what === 'failed' ? { failed: true } : { after: receiver.posts[0]?.id ?? '' })
      const again = what === 'failed' ? ['a1'] : ['a1', 'c1']
      await eventually(() => expect(receiver.taken.slice(2).sort()).toEqual(again))
      await outage(clock, saves, live)

      await eventually(async () => {
        clock.advance(100)
        expect((await webhooks.deliveries('main', 'crm', page)).items).toEqual([])
      })
      expect(receiver.taken).toHaveLength(2 + again.length)
      expect((await live.deliveries.webhook('crm')).requests).toEqual([])
    },
  )
})
