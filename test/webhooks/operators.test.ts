import { describe, expect, onTestFinished } from 'vitest'
import type { EventStore } from '../../src/store/event-log.ts'
import { openSqlite } from '../../src/store/sqlite/sqlite.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'
import type { EventReader } from '../../src/webhooks/ports.ts'
import { Webhooks } from '../../src/webhooks/webhooks.ts'
import { policy } from '../store/sends.ts'
import { secret } from './receiver.ts'
import { eventually, message, nothingPending, reader, settled, takes, test } from './setup.ts'

const take = () => 204

/** Waits for so many posts, and moves the clock no further then. */
const posted = (count: number, { posts }: { posts: unknown[] }, clock: { advance(ms: number): void }) =>
  eventually(() => {
    if (posts.length < count) clock.advance(500)
    expect(posts).toHaveLength(count)
  })

describe('an operator', () => {
  test('sees what waits and what has failed, page by page', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = ({ event }) => (event.messageId?.startsWith('a') ? 413 : 204)
    await append('a1', 'a2', 'b1', 'a3')
    await eventually(async () => {
      clock.advance(500)
      expect((await webhooks.deliveries('main', 'crm', { state: 'failed', limit: 10 })).items).toHaveLength(1)
    })
    const all = await webhooks.deliveries('main', 'crm', { limit: 10 })
    const first = await webhooks.deliveries('main', 'crm', { limit: 2 })
    const rest = await webhooks.deliveries('main', 'crm', { limit: 2, ...(first.nextCursor && { cursor: first.nextCursor }) })

    expect(all.items.map(({ state }) => state)).toEqual(['failed', 'pending', 'pending'])
    expect(all.items.map(({ destination }) => destination)).toEqual(['a', 'a', 'a'])
    expect([...first.items, ...rest.items].map(({ eventId }) => eventId)).toEqual(all.items.map(({ eventId }) => eventId))
    expect(rest.nextCursor).toBeUndefined()
    expect(await webhooks.deliveries('main', 'crm', { limit: 3 })).toEqual({ items: all.items }) // a page that is just full
    await expect(webhooks.deliveries('main', 'crm', { limit: 2, cursor: 'x' })).rejects.toMatchObject({ code: 'invalid-request' })
  })

  test('sees in any process how long the oldest event has waited', async ({ append, clock, live, receiver, start }) => {
    receiver.answer = () => 503
    await start()
    const webhook = { url: new URL(receiver.url), secrets: [secret], account: 'main' }
    const other = new Webhooks({ webhooks: { crm: webhook }, store: live, reader, clock })
    onTestFinished(() => other.stop())
    await append('a1')
    await eventually(async () => {
      clock.advance(500)
      expect(await other.list('main')).toMatchObject([{ state: 'paused' }])
    })
    clock.jump(600_000)

    expect((await other.list('main'))[0]?.lag).toBeGreaterThan(300)
  })

  test('has failed events delivered again', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 400 : 204)
    await append('a1', 'a2')
    await takes(receiver, clock, 'a2')
    receiver.answer = take
    await webhooks.redrive('main', 'crm', { failed: true })

    await takes(receiver, clock, 'a2', 'a1')
    await nothingPending(webhooks, clock)
  })

  test('has a failed event attempted five times again, also one that another process had begun with', async ({
    append,
    clock,
    receiver,
    start,
  }) => {
    receiver.answer = () => 422
    const first = await start()
    await append('a1')
    await posted(3, receiver, clock)
    await first.stop()
    const second = await start()
    await posted(5, receiver, clock)
    await eventually(async () => {
      clock.advance(500)
      expect((await second.deliveries('main', 'crm', { limit: 10 })).items).toMatchObject([{ state: 'failed' }])
    })
    expect(receiver.posts).toHaveLength(5)
    await second.redrive('main', 'crm', { failed: true })
    await posted(9, receiver, clock)
    receiver.answer = take

    await takes(receiver, clock, 'a1')
  })

  test('has an event that failed just now delivered again with all that follows, and sees it no more', async ({
    append,
    clock,
    live,
    receiver,
    webhooks,
  }) => {
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    receiver.answer = () => 422
    await append('a2')
    await posted(6, receiver, clock)
    await settled(receiver, live)
    receiver.answer = take
    await webhooks.redrive('main', 'crm', { after: receiver.posts[0]?.id ?? '' })
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a2']))
    await settled(receiver, live)
    clock.advance(200)
    await settled(receiver, live)

    expect((await webhooks.deliveries('main', 'crm', { limit: 10 })).items).toEqual([])
    receiver.answer = ({ event }) => (event.messageId === 'a3' ? 422 : 204)
    await append('a3')
    await posted(12, receiver, clock)
    for (const next of ['b1', 'b2']) {
      await append(next)
      await eventually(() => expect(receiver.taken).toContain(next))
      await settled(receiver, live)
      clock.advance(200) // for a save of its own
      await settled(receiver, live)
    }
    expect((await webhooks.deliveries('main', 'crm', { limit: 10 })).items, 'what fails later is there').toMatchObject([
      { state: 'failed' },
    ])
  })

  test('is served before new events, which need not cease', async ({ append, live, receiver, webhooks }) => {
    let answer = () => {}
    receiver.answer = ({ event }) => {
      if (event.messageId !== 'a1') return 204
      return response => {
        answer = () => response.writeHead(204).end()
      }
    }
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await webhooks.redrive('main', 'crm', { failed: true })
    await append('b1')
    await settled(receiver, live)
    expect(receiver.posts).toHaveLength(1)
    answer()

    await eventually(() => expect(receiver.taken).toEqual(['b1']))
  })

  test('has failed events delivered again by the next process, if this one ends before', async ({ append, clock, receiver, start }) => {
    const first = await start()
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 400 : 204)
    await append('a1', 'a2')
    await takes(receiver, clock, 'a2')
    receiver.answer = () => 500
    await first.redrive('main', 'crm', { failed: true })
    await eventually(async () => expect(await first.list('main')).toMatchObject([{ state: 'paused' }]))
    await first.stop()
    receiver.answer = take
    await start()

    await takes(receiver, clock, 'a2', 'a1')
  })

  test('gets new events beside a thousand that wait again and are refused', async ({ append, live, receiver, start }) => {
    receiver.answer = ({ event }) => (event.messageId === 'b1' ? 204 : 422)
    const again = await append(...Array.from({ length: 1_000 }, (_, n) => `a${n}`))
    const { mark } = await live.log.read('main', 0, 1)
    const fence = (await live.leases.acquire('webhook:crm', 'earlier', 10_000)) ?? 0
    const state = { identity: mark?.identity, position: mark?.last, done: [], again, tried: [] } // as a redrive of the last process left it
    const saved = { account: 'main', state: JSON.stringify(state) }
    await live.deliveries.save('crm', { name: 'webhook:crm', fence }, { saved, failed: [], cleared: [], handled: 0 })
    await live.leases.release('webhook:crm', fence)
    await start()
    await append('b1')

    await eventually(() => expect(receiver.taken).toEqual(['b1']))
  })

  test('has everything after an event delivered again, and not after one of another log', async ({ append, live, receiver, webhooks }) => {
    await append('a1', 'a2', 'b1')
    await eventually(() => expect(receiver.taken.toSorted()).toEqual(['a1', 'a2', 'b1']))
    const first = receiver.posts.find(({ event }) => event.messageId === 'a1')?.id ?? ''
    await webhooks.redrive('main', 'crm', { after: first })

    await eventually(() => expect(receiver.taken).toHaveLength(5))
    expect(receiver.taken.slice(3).toSorted()).toEqual(['a2', 'b1'])
    await settled(receiver, live)
    for (const after of ['other.1', `${first}0`, 'x']) {
      await expect(webhooks.redrive('main', 'crm', { after })).rejects.toMatchObject({ code: 'invalid-request' })
    }
  })

  test('ends a pause with a test that succeeds, and says so', async ({ append, receiver, start }) => {
    const states: unknown[] = []
    const webhooks = await start({}, { observe: (event, details) => void (event === 'webhookStateChanged' && states.push(details)) })
    receiver.answer = () => 500
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    expect(await webhooks.test('main', 'crm')).toMatchObject({ status: 500 })
    expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }])
    receiver.answer = take

    expect(await webhooks.test('main', 'crm')).toEqual({ status: 204, ms: expect.any(Number) })
    expect(receiver.posts.at(-1)?.event.type).toBe('test')
    await eventually(() => expect(receiver.taken).toContain('a1'))
    expect(states).toMatchObject([{ state: 'paused' }, { state: 'ok' }])
    expect((await webhooks.list('main'))[0]?.url).not.toContain('token')
  })

  test('does not end with one what an endpoint has said of itself', async ({ append, clock, live, receiver, start }) => {
    const states: unknown[] = []
    const webhooks = await start({}, { observe: (event, details) => void (event === 'webhookStateChanged' && states.push(details)) })
    receiver.answer = () => 500
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    receiver.answer = () => 410
    await eventually(async () => {
      clock.advance(500)
      expect(await webhooks.list('main')).toMatchObject([{ state: 'disabled' }])
    })
    receiver.answer = take
    await webhooks.test('main', 'crm')
    await settled(receiver, live)

    expect(states).toMatchObject([{ state: 'paused' }, { state: 'disabled' }])
  })

  test('shares a test that is under way, beside which events are delivered', async ({ append, receiver, webhooks }) => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    receiver.answer = ({ event }) => (event.type === 'test' ? response => void held.then(() => response.writeHead(204).end()) : 204)
    const tests = Array.from({ length: 20 }, () => webhooks.test('main', 'crm'))
    await eventually(() => expect(receiver.posts).not.toEqual([]))
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    release()

    for (const result of await Promise.all(tests)) expect(result).toMatchObject({ status: 204 })
    expect(receiver.posts.map(({ event }) => event.type)).toEqual(['test', 'message.created'])
    await webhooks.test('main', 'crm')
    expect(receiver.posts.at(-1)?.event.type).toBe('test')
  })

  test('gets the result of a test while the store is unavailable, and no watch of the log is left', async ({ clock, live, receiver }) => {
    let watches = 0
    const watch: typeof live.log.watch = (...args) => {
      const stop = live.log.watch(...args)
      watches++
      return () => {
        watches--
        stop()
      }
    }
    const request = () => Promise.reject(new StoreUnavailableError('io'))
    const store = { leases: live.leases, log: { ...live.log, watch }, deliveries: { ...live.deliveries, request } }
    const webhook = { url: new URL(receiver.url), secrets: [secret], account: 'main' }
    const webhooks = new Webhooks({ webhooks: { crm: webhook }, store, reader, clock })

    expect(await webhooks.test('main', 'crm')).toMatchObject({ status: 204 })
    await expect(webhooks.redrive('main', 'crm', { failed: true })).rejects.toMatchObject({ code: 'store-unavailable' })
    expect(watches).toBe(1)
    await webhooks.stop()
    expect(watches).toBe(0)
  })

  test('sees what failed of the own account only, also of a webhook that had another one', async ({
    append,
    clock,
    live,
    receiver,
    start,
  }) => {
    const ofAccount: EventReader = {
      ...reader,
      idOf: (account, ...rest) => `${account}:${reader.idOf(account, ...rest)}`,
      readCursor: (account, id) => (id.startsWith(`${account}:`) ? reader.readCursor(account, id.slice(account.length + 1)) : undefined),
    }
    await live.log.open('second')
    receiver.answer = ({ event }) => (event.id.startsWith('main') ? 422 : 204)
    const first = await start({}, { reader: ofAccount })
    const page = { state: 'failed', limit: 1 } as const
    await append('a1', 'a2', 'b1')
    await eventually(async () => {
      clock.advance(500)
      expect((await first.deliveries('main', 'crm', { ...page, limit: 10 })).items.length).toBeGreaterThan(1)
    })
    const { nextCursor } = await first.deliveries('main', 'crm', page)
    await first.stop()
    const second = await start({ account: 'second' }, { reader: ofAccount })
    const found = await second.deliveries('second', 'crm', page)
    const rest = await second.deliveries('second', 'crm', { ...page, ...(found.nextCursor && { cursor: found.nextCursor }) })

    expect(nextCursor).toBeDefined()
    expect([found.items, rest]).toEqual([[], { items: [] }])
  })

  test('sees webhooks of the own account only', async ({ webhooks }) => {
    expect(await webhooks.list('other')).toEqual([])
    for (const ask of [
      webhooks.test('other', 'crm'),
      webhooks.redrive('main', 'nothing', { failed: true }),
      webhooks.deliveries('other', 'crm', { limit: 1 }),
    ])
      await expect(ask).rejects.toMatchObject({ code: 'webhook-not-found' })
  })
})

describe('the log', () => {
  test('that has lost events gives one gap, then what it has', async ({ append, live, receiver, start }) => {
    const first = await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await first.stop()
    const fence = (await live.leases.acquire('webhook:crm', 'test', 60_000)) ?? 0
    const { saved } = await live.deliveries.webhook('crm')
    const lost = JSON.stringify({ ...JSON.parse(saved?.state ?? ''), identity: 'another' })
    const change = { saved: { account: 'main', state: lost }, failed: [], cleared: [], handled: 0 }
    await live.deliveries.save('crm', { name: 'webhook:crm', fence }, change)
    await live.leases.release('webhook:crm', fence)
    await append('a2')
    await start()

    await eventually(() =>
      expect(receiver.posts.map(({ event }) => event.reason ?? event.messageId)).toEqual(['a1', 'log-replaced', 'a1', 'a2']),
    )
  })

  test('of another account means a new beginning, and that of an earlier one goes on where it was left', async ({
    append,
    live,
    receiver,
    start,
  }) => {
    const first = await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await first.stop()
    await live.log.open('second')
    await live.log.append('second', { events: [message('b1')] })
    const second = await start({ account: 'second' })
    await live.log.append('second', { events: [message('b2')] })
    await append('a2')

    await eventually(() => expect(receiver.taken).toEqual(['a1', 'b2']))
    await second.stop()
    await live.log.append('second', { events: [message('b3')] })
    const third = await start()
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'b2', 'a2']))
    await third.stop()
    await start({ account: 'second' })
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'b2', 'a2', 'b3']))
  })
})

describe('two processes', () => {
  test('deliver each event once, and one goes on where the other ends', async ({ append, clock, live, receiver, start }) => {
    const first = await start()
    const second = start()
    await append('a1', 'b1')
    await eventually(() => expect(receiver.taken.toSorted()).toEqual(['a1', 'b1']))
    await first.stop()
    await append('a2')
    await eventually(async () => {
      clock.advance(3_000)
      expect(receiver.taken).toContain('a2')
    })
    await second
    await settled(receiver, live)
    expect(receiver.taken.toSorted()).toEqual(['a1', 'a2', 'b1'])
  })

  test('pass requests on: a redrive that another one left in the store is done', async ({ append, clock, live, receiver, webhooks: _ }) => {
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await live.deliveries.request('crm', JSON.stringify({ kind: 'after', position: 0 }))

    await eventually(() => {
      clock.advance(3_000)
      expect(receiver.taken).toEqual(['a1', 'a1'])
    })
  })
})

describe('a process that waits for another one', () => {
  test('gives the gap if the store is replaced and it delivers first', async ({ append, clock, live, receiver, start }) => {
    await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    const next = await openSqlite({ ...policy, path: ':memory:' })
    onTestFinished(next.close)
    await next.log.open('main')
    await next.log.append('main', { events: [message('b1')] })
    let [store, looks] = [live, 0]
    const replaced: EventStore = {
      get leases() {
        return store.leases
      },
      get log() {
        return store.log
      },
      get deliveries() {
        looks++
        return store.deliveries
      },
    }
    const webhook = { url: new URL(receiver.url), secrets: [secret], account: 'main' }
    const waiting = new Webhooks({ webhooks: { crm: webhook }, store: replaced, reader, clock })
    onTestFinished(() => waiting.stop())
    await eventually(() => expect(looks).toBeGreaterThan(0))
    await settled(receiver, live)
    store = next
    clock.advance(3_000)

    await eventually(() => expect(receiver.posts.map(({ event }) => event.reason ?? event.messageId)).toEqual(['a1', 'log-replaced', 'b1']))
  })
})

describe('a text that cannot be read', () => {
  test('holds back its conversation until it can', async ({ append, clock, receiver, start }) => {
    let away = true
    await start({}, { reader: { ...reader, render: (...args) => (away ? Promise.reject(new Error('away')) : reader.render(...args)) } })
    await append('a1', 'a2')
    clock.advance(5_000)
    away = false

    await takes(receiver, clock, 'a1', 'a2')
  })
})
