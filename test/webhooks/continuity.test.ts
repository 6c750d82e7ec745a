import { describe, expect, onTestFinished } from 'vitest'
import type { WebhookConfig } from '../../src/webhooks/ports.ts'
import { Webhooks } from '../../src/webhooks/webhooks.ts'
import { secret, startReceiver } from './receiver.ts'
import { createTestClock, eventually, reader, settled, takes, test } from './setup.ts'

const hour = 3_600_000

describe('the retention', () => {
  test('that took what was not delivered gives exactly one gap, then what the log has', async ({
    append,
    live,
    receiver,
    start,
    storeTime,
  }) => {
    const first = await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await first.stop()
    await append('a2')
    storeTime.ms += 73 * hour
    await append('a3', 'b2')
    expect(await live.log.trim(72 * hour)).toBe(2)
    const second = await start()
    await eventually(() => expect(receiver.posts).toHaveLength(4))
    await second.stop()
    await start()
    await append('a4')
    await eventually(() => expect(receiver.taken).toContain('a4'))

    const [, gap, ...rest] = receiver.posts.map(({ event }) => event.reason ?? event.messageId)
    expect(gap).toBe('retention')
    expect(rest.toSorted()).toEqual(['a3', 'a4', 'b2'])
  })

  test('that took what was not delivered, and last an event that was, gives the gap all the same', async ({
    append,
    live,
    receiver,
    start,
    storeTime,
  }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 422 : 204)
    const first = await start()
    await append('a1', 'b1')
    await eventually(() => expect(receiver.taken).toEqual(['b1']))
    await settled(receiver, live)
    await first.stop()
    storeTime.ms += 73 * hour
    expect(await live.log.trim(72 * hour)).toBe(2)
    await start()
    await append('a2')
    await eventually(() => expect(receiver.taken).toContain('a2'))

    expect(receiver.posts.map(({ event }) => event.reason ?? event.messageId)).toEqual(['a1', 'b1', 'retention', 'a2'])
  })
})

describe('an event that waits', () => {
  test('is overtaken by at most 1,000 others', async ({ append, clock, live, receiver, webhooks: _ }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 422 : 204)
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    const others = Array.from({ length: 1_100 }, (_, n) => `${'bcdefghi'[n % 8]}${n}`) // eight conversations, eight in flight
    await append(...others.slice(0, 990))
    await eventually(() => expect(receiver.taken).toHaveLength(990))
    await append(...others.slice(990))
    await eventually(() => expect(receiver.taken.length).toBeGreaterThan(990))
    await settled(receiver, live)
    expect(receiver.taken.length).toBeLessThanOrEqual(1_000)
    receiver.answer = () => 204
    clock.advance(1_000)

    await eventually(() => expect(receiver.taken.length).toBe(1_101))
  })

  test('is overtaken by other conversations, however many of its own wait behind it', async ({ append, receiver, webhooks: _ }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 422 : 204)
    await append(...Array.from({ length: 500 }, (_, n) => `a${n + 1}`), 'b1')

    await eventually(() => expect(receiver.taken).toEqual(['b1']))
  })
})

describe('a lease that ran out while a text was read', () => {
  test('is renewed before the event is posted', async ({ append, live, receiver, start }) => {
    let [ahead, read] = [0, () => {}]
    const reading = new Promise<void>(resolve => {
      read = resolve
    })
    const clock = { ...createTestClock(), monotonic: () => ahead }
    await start({}, { clock, reader: { ...reader, render: (...args) => reading.then(() => reader.render(...args)) } })
    await append('a1')
    await settled(receiver, live)
    ahead = 20_000
    read()
    await settled(receiver, live)
    expect(receiver.posts).toEqual([])
    clock.advance(3_000)

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
  })
})

describe('a lease that another process took', () => {
  test('is found out by the next save, which changes nothing; nothing more is posted', async ({
    append,
    clock,
    live,
    receiver,
    start,
    storeTime,
  }) => {
    const webhooks = await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await settled(receiver, live)
    storeTime.ms += 20_000
    const fence = (await live.leases.acquire('webhook:crm', 'another', 60_000)) ?? expect.fail('it is held')
    const before = await live.deliveries.webhook('crm')
    clock.advance(100)
    await eventually(() => expect(webhooks.report()).toEqual([]))
    await append('a2')
    await settled(receiver, live)

    expect(receiver.taken).toEqual(['a1'])
    expect(await live.deliveries.webhook('crm')).toEqual(before)
    await live.leases.release('webhook:crm', fence)
    clock.advance(3_000)
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a1', 'a2'])) // what the other one did not deliver
  })
})

describe('a webhook that ends', () => {
  test('waits for an answer for two seconds, and not for ever', async ({ append, clock, receiver, start }) => {
    const webhooks = await start({}, { timeoutMs: 60_000 })
    receiver.answer = () => () => {} // no answer
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    let ended = false
    void webhooks.stop().then(() => {
      ended = true
    })

    await eventually(() => {
      clock.advance(2_000)
      expect(ended).toBe(true)
    })
  })
})

describe('a webhook that ends while it begins', () => {
  test('has given its lease back when it has ended', async ({ clock, live, receiver }) => {
    const webhook = { url: new URL(receiver.url), secrets: [secret], account: 'main' }
    for (let n = 0; n < 5; n++) {
      const webhooks = new Webhooks({ webhooks: { crm: webhook }, store: live, reader, clock })
      await new Promise(resolve => setImmediate(resolve)) // it has asked for the lease
      await webhooks.stop()
      const fence = (await live.leases.acquire('webhook:crm', `another ${n}`, 60_000)) ?? expect.fail('it is held')
      await live.leases.release('webhook:crm', fence)
    }
  })
})

describe('a reload', () => {
  const named = (url: string, over: Partial<WebhookConfig> = {}): WebhookConfig => ({
    url: new URL(url),
    secrets: [secret],
    account: 'main',
    ...over,
  })
  const repaired = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
  const reported = (webhooks: Webhooks, ...names: string[]) =>
    eventually(() => expect(webhooks.report().map(({ webhook }) => webhook)).toEqual(names))

  test('starts a new name now, goes on with a known one elsewhere, and ends one that is gone', async ({ append, receiver, webhooks }) => {
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    receiver.answer = () => 500
    await append('a2')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    receiver.answer = () => 204
    webhooks.reload({ crm: named(`${receiver.url}&moved`), erp: named(`${receiver.url}&erp`) })
    await reported(webhooks, 'crm', 'erp')
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a2']))
    await append('b1')
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a2', 'b1', 'b1']))

    webhooks.reload({ erp: named(`${receiver.url}&erp`) })
    expect((await webhooks.list('main')).map(({ name }) => name)).toEqual(['erp'])
    await append('b2')
    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a2', 'b1', 'b1', 'b2']))
  })

  test('ends a webhook whose name every object has', async ({ receiver, webhooks }) => {
    const crm = named(receiver.url)
    webhooks.reload({ crm, constructor: named(`${receiver.url}&other`) })
    await reported(webhooks, 'crm', 'constructor')

    webhooks.reload({ crm })
    await reported(webhooks, 'crm')
  })

  test.for([
    ['another URL', (url: string) => named(`${url}&moved`)],
    ['another secret', (url: string) => named(url, { secrets: [repaired] })],
    ['a second secret', (url: string) => named(url, { secrets: [secret, repaired] })],
  ] as const)('to %s ends a pause, and one to other types does not', async ([, change], { append, live, receiver, webhooks }) => {
    receiver.answer = () => response => response.writeHead(503, { 'retry-after': '600' }).end()
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    receiver.answer = () => 204
    webhooks.reload({ crm: named(receiver.url, { types: ['message.created'] }) })
    await reported(webhooks, 'crm')
    await settled(receiver, live)
    expect(receiver.taken).toEqual([])
    const next = change(receiver.url)
    receiver.secret = next.secrets.at(-1) ?? ''
    webhooks.reload({ crm: next })

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    expect(await webhooks.list('main')).toEqual([{ name: 'crm', url: expect.any(String), state: 'ok', lag: 0 }])
  })

  test('hides no webhook while a delivery of it ends', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = () => () => {} // no answer
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    const moved = await startReceiver()
    onTestFinished(moved.close)
    webhooks.reload({ crm: named(moved.url) })

    expect(await webhooks.list('main')).toMatchObject([{ name: 'crm', url: moved.url.split('?')[0] }])
    expect(await webhooks.test('main', 'crm')).toMatchObject({ status: 204 })
    await webhooks.redrive('main', 'crm', { failed: true })
    expect(moved.posts).toHaveLength(1)
    await eventually(() => {
      clock.advance(500)
      expect(moved.taken).toContain('a1')
    })
  })

  test('to another URL begins the five attempts of a refused event again', async ({ append, clock, receiver, webhooks }) => {
    const refusals = (count: number) =>
      eventually(() => {
        clock.advance(500)
        expect(receiver.posts).toHaveLength(count)
      })
    receiver.answer = () => 422
    await append('a1')
    await refusals(4)
    webhooks.reload({ crm: named(`${receiver.url}&moved`) })
    await refusals(8)
    receiver.answer = () => 204

    await takes(receiver, clock, 'a1')
  })

  test('to other chats delivers nothing of the former ones again', async ({ append, clock, live, receiver, webhooks }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 422 : 204)
    await append('a1', 'b1')
    await eventually(async () => {
      clock.advance(500)
      expect((await webhooks.deliveries('main', 'crm', { state: 'failed', limit: 1 })).items).toHaveLength(1)
    })
    receiver.answer = () => 204
    webhooks.reload({ crm: named(receiver.url, { chats: ['whatsapp/100/b'] }) })
    await reported(webhooks, 'crm')
    await webhooks.redrive('main', 'crm', { failed: true })
    await append('b2')
    await eventually(() => expect(receiver.taken).toContain('b2'))
    await settled(receiver, live)

    expect(receiver.taken).toEqual(['b1', 'b2'])
  })

  test('signs with the new secret, the last of three in a row', async ({ append, receiver, webhooks }) => {
    const secrets = [1, 2, 3].map(n => `whsec_${Buffer.alloc(32, n).toString('base64')}`)
    for (const one of secrets) webhooks.reload({ crm: named(receiver.url, { secrets: [one, secret] }) })
    receiver.secret = secrets[2] ?? ''
    await reported(webhooks, 'crm')
    await append('a1')

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
  })

  test('tries an endpoint again that answered 410', async ({ append, clock, receiver, webhooks }) => {
    clock.advance(1)
    receiver.answer = () => 410
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'disabled' }]))
    receiver.answer = () => 204
    clock.advance(1)
    webhooks.reload({ crm: named(receiver.url) })

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    expect(await webhooks.list('main')).toMatchObject([{ state: 'ok' }])
  })
})

describe('a redirect', () => {
  test('is not followed: nothing reaches the other place', async ({ append, live, receiver, webhooks }) => {
    const elsewhere = await startReceiver()
    receiver.answer = () => response => void response.writeHead(307, { location: elsewhere.url }).end()
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(1)
    expect(elsewhere.posts).toEqual([])
    await elsewhere.close()
  })
})
