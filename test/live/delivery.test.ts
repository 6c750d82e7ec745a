import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { policy } from '../store/sends.ts'
import { blocksOf, chat, created, crm, cursorOf, idsOf, message, test, watched } from './delivery.ts'

const never = new AbortController().signal
const list = { limit: 50, waitMs: 0 }
const itemsOf = ({ items }: { items: string[] }) => items.map(item => JSON.parse(item))
const hour = 3_600_000

describe('a stream', () => {
  test('begins with a retry and an id without data, and then gets each event once', async ({ open, append, afilnet }) => {
    afilnet.list = [message('1'), message('2'), message('3')]
    await append(created('1'))
    const stream = await open()
    await append(created('2'), created('3'))

    await expect.poll(() => idsOf(stream)).toEqual(['2', '3'])
    const [first, second] = stream.blocks()
    expect(first).toEqual({ retry: '3000', id: expect.any(String) })
    expect(second).toEqual({
      id: second?.data?.id,
      event: 'message.created',
      data: {
        ...chat,
        id: expect.any(String),
        type: 'message.created',
        at: expect.any(String),
        messageId: '2',
        direction: 'in',
        message: message('2'),
      },
    })
  })

  test('resumes behind any of its events', async ({ open, append, afilnet }) => {
    afilnet.list = ['1', '2', '3'].map(id => message(id))
    const first = await open()
    await append(created('1'), created('2'), created('3'))
    await expect.poll(() => idsOf(first)).toHaveLength(3)

    for (const [n, block] of first.blocks().entries()) {
      const again = await open(crm, { after: cursorOf(block.id) })
      await expect.poll(() => idsOf(again)).toEqual(['1', '2', '3'].slice(n))
    }
  })

  test('catches up with thousands of events, without a doublet where it meets the new ones', async ({ open, append, afilnet, live }) => {
    const ids = Array.from({ length: 2_500 }, (_, n) => `${n}`)
    afilnet.list = ids.map(id => message(id))
    const { nextCursor } = await live.list(crm, list, never)
    await append(...ids.slice(0, 2_000).map(id => created(id)))
    const streams = await Promise.all([1, 2, 3].map(() => open(crm, { after: cursorOf(nextCursor) })))
    for (let n = 2_000; n < 2_500; n += 50) await append(...ids.slice(n, n + 50).map(id => created(id)))

    for (const stream of streams) await expect.poll(() => idsOf(stream)).toEqual(ids)
    expect(afilnet.reads).toBeLessThan(50)
  })

  test('gets the events of two processes in their order', async ({ start, openIn, afilnet, onTestFinished }) => {
    const folder = mkdtempSync(join(tmpdir(), 'delivery-'))
    const url = `sqlite:${join(folder, 'ledger.sqlite')}`
    const [here, there] = [await openStore(url, policy), await openStore(url, policy)]
    onTestFinished(async () => {
      for (const store of [here, there]) await store.close()
      rmSync(folder, { recursive: true })
    })
    for (const account of ['main', 'other']) await here.log.open(account)
    const ids = Array.from({ length: 40 }, (_, n) => `${n}`)
    afilnet.list = ids.map(id => message(id))
    const stream = await openIn(start({ log: here.log, secret: here.secret }))

    for (const [n, id] of ids.entries()) await (n % 3 === 1 ? there : here).log.append('main', { events: [created(id)] })

    await expect.poll(() => idsOf(stream)).toEqual(ids)
  })

  test('waits at an event whose text cannot be read, while others that filter it out go on', async ({ open, append, afilnet }) => {
    afilnet.error = new Error('away')
    const [all, gaps] = [await open(), await open(crm, { types: ['send.updated'] })]
    const gap = created('', { type: 'gap', messageId: null, direction: null, reason: 'no-overlap' })
    const typesOf = ({ blocks }: typeof all) => blocks().flatMap(({ event }) => event ?? [])
    await append(gap, created('1'), gap)

    await expect.poll(() => typesOf(gaps)).toEqual(['gap', 'gap'])
    await expect.poll(() => typesOf(all)).toEqual(['gap'])
    afilnet.list = [message('1')]
    afilnet.error = undefined
    await expect.poll(() => typesOf(all)).toEqual(['gap', 'message.created', 'gap'])
  })

  test('gets null for a message only once Afilnet has answered without it', async ({ open, append }) => {
    const stream = await open()
    await append(created('1'))

    await expect.poll(() => stream.blocks().at(-1)?.data).toMatchObject({ messageId: '1', message: null })
  })

  test('takes the text that the poller has just read, and asks Afilnet nothing', async ({ open, append, afilnet, live }) => {
    const stream = await open()
    const now = Date.now()
    const rows = [{ messageId: 'row-abc-1', change: 'message.created' as const, message: { ...message('1'), messageId: null } }]
    live.remember({ account: 'main', ...chat, absentAt: undefined, beganAt: now, endedAt: now, rows })
    await append(created('row-abc-1', { at: now }))

    await expect.poll(() => stream.blocks().at(-1)?.data).toMatchObject({ messageId: 'row-abc-1', message: { message: 'text of 1' } })
    expect(afilnet.reads).toBe(0)
  })

  test('never takes a text that is older than the event', async ({ open, append, afilnet, live }) => {
    const stream = await open()
    const rows = [{ messageId: '1', change: undefined, message: message('1', 'old') }]
    live.remember({ account: 'main', ...chat, absentAt: undefined, beganAt: 0, endedAt: Date.now() - 1_000, rows })
    afilnet.list = [message('1', 'new')]
    await append(created('1', { type: 'message.updated' }))

    await expect.poll(() => stream.blocks().at(-1)?.data).toMatchObject({ message: { message: 'new' } })
  })

  test.for([
    ['channel of the same platform', { platformId: '101' }],
    ['platform', { platform: 'telegram' }],
    ['account', { account: 'other' }],
  ] as const)(
    'never takes the text of a conversation with the same destination in another %s',
    async ([, elsewhere], { open, append, afilnet, live }) => {
      const stream = await open()
      const now = Date.now()
      const rows = [{ messageId: '1', change: undefined, message: message('1', 'of somebody else') }]
      live.remember({ account: 'main', ...chat, ...elsewhere, absentAt: undefined, beganAt: now, endedAt: now, rows })
      afilnet.list = [message('1')]
      await append(created('1', { at: now }))

      await expect.poll(() => stream.blocks().at(-1)?.data).toMatchObject({ message: { message: 'text of 1' } })
    },
  )

  test('shares one read with all who wait for the conversation', async ({ open, append, afilnet }) => {
    afilnet.list = ['1', '2', '3'].map(id => message(id))
    const streams = await Promise.all(Array.from({ length: 20 }, (_, n) => open({ ...crm, name: n % 2 ? 'crm' : 'shop' })))
    await append(created('1'), created('2'), created('3'))

    for (const stream of streams) await expect.poll(() => idsOf(stream)).toEqual(['1', '2', '3'])
    expect(afilnet.reads).toBe(1)
  })

  test('shows a caller its chats and its own sends only', async ({ open, append }) => {
    const other = { ...chat, destination: '34611111111' }
    const row = (caller: string, over: object = {}) => ({ id: `of ${caller}`, state: 'accepted', caller, ...over })
    const update = (caller: string, over: object = {}, where = chat) =>
      created(`of ${caller}`, {
        ...where,
        type: 'send.updated',
        sender: { caller, account: 'main' },
        send: JSON.stringify(row(caller, over)),
      })
    const limited = await open({ ...crm, chats: ['whatsapp/100/34611111111'] })
    const all = await open({ ...crm, name: 'shop' })
    const token = { id: 't', actor: 'ann', chat, expiresAt: Number.MAX_SAFE_INTEGER }
    const ofToken = await open({ ...crm, chats: [chat], token }, { types: ['send.updated'] })
    const ofAnother = await open({ ...crm, chats: [chat], token: { ...token, id: 'u', actor: 'bob' } }, { types: ['send.updated'] })
    const inAnother = await open({ ...crm, chats: [other], token: { ...token, id: 'v', chat: other } }, { types: ['send.updated'] })
    const filtered = await open({ ...crm, name: 'shop' }, { types: ['message.created'], ...chat })
    await append(update('crm'), update('shop'), update('crm', { actor: 'ann' }), update('crm', {}, other))
    await append(created('whole', { platform: null, platformId: null, destination: null, type: 'gap', messageId: null, reason: 'x' }))
    await append(created('elsewhere', { platformId: '101', destination: null, type: 'gap', messageId: null, reason: 'x' }))

    const seen = (stream: typeof all) => stream.blocks().flatMap(({ data }) => (data ? [data.messageId ?? data.platformId ?? 'all'] : []))
    await expect.poll(() => seen(all)).toEqual(['of shop', 'all', '101'])
    await expect.poll(() => seen(limited)).toEqual(['of crm', 'all'])
    await expect.poll(() => seen(ofToken)).toEqual(['of crm', 'all'])
    for (const stream of [ofAnother, inAnother, filtered]) await expect.poll(() => seen(stream)).toEqual(['all'])
    expect(ofToken.blocks()[1]?.data?.send).toEqual({ id: 'of crm', state: 'accepted' })
  })

  test('ends when more than a megabyte is unsent, and others go on', async ({ open, append, afilnet }) => {
    afilnet.list = [message('1', 'x'.repeat(700_000))]
    const [slow, quick] = [await open(crm, {}, 1), await open()]
    await append(created('1'))
    await append(created('1', { type: 'message.updated' }))

    await expect.poll(() => slow.ended).toBe(true)
    await expect.poll(() => idsOf(quick)).toEqual(['1', '1'])
    expect(quick.ended).toBe(false)
  })

  test('ends with its key or its token', async ({ open }) => {
    const soon = new Date(Date.now() + 50).toISOString()
    const token = { id: 't', actor: '', chat, expiresAt: Date.now() + 50 }
    const streams = [await open({ ...crm, expires: soon }), await open({ ...crm, token }), await open()]

    await expect.poll(() => streams.map(({ ended }) => ended)).toEqual([true, true, false])
  })

  test('ends when a reload changes or removes its caller or the channels of its account', async ({ open, live }) => {
    const streams = [await open(), await open({ ...crm, name: 'shop' }), await open({ ...crm, account: 'other' })]
    live.reload(watched({ crm: '2', shop: '1' }))
    expect(streams.map(({ ended }) => ended)).toEqual([true, false, true])

    live.reload({ accounts: new Map([['main', '2']]), callers: watched().callers })
    expect(streams.map(({ ended }) => ended)).toEqual([true, true, true])
    await expect(open({ ...crm, account: 'other' })).rejects.toMatchObject({ code: 'events-not-enabled' })
  })

  test('ends at a drain with a shorter retry', async ({ open, live }) => {
    const streams = await Promise.all(Array.from({ length: 10 }, () => open()))
    await live.drain(2_000)

    for (const { text, ended } of streams) {
      expect(blocksOf(text).at(-1)).toEqual({ retry: '1000' })
      expect(ended).toBe(true)
    }
  })

  test('ends within the time of a drain, however many there are', async ({ open, live }) => {
    const streams = await Promise.all(Array.from({ length: 500 }, () => open()))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const ended = () => streams.filter(({ ended }) => ended).length
    const drained = live.drain(2_000)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(Math.abs(ended() - 250), 'half of them').toBeLessThan(5)
    await vi.advanceTimersByTimeAsync(1_000)

    expect(ended()).toBe(500)
    await drained
  })
})

describe('a list', () => {
  test('begins with the oldest event and goes on by its cursor, past what filters leave out', async ({ live, append, afilnet }) => {
    afilnet.list = ['1', '2', '3', '4'].map(id => message(id))
    await append(created('1'), created('2'), created('3', { destination: '34611111111' }), created('4'))
    const first = await live.list(crm, { ...list, limit: 1 }, never)
    const filtered = { ...list, destination: '34611111111' }
    const second = await live.list(crm, { ...filtered, after: cursorOf(first.nextCursor) }, never)
    const third = await live.list(crm, { ...filtered, after: cursorOf(second.nextCursor) }, never)

    expect(itemsOf(first).map(({ messageId }) => messageId)).toEqual(['1'])
    expect(first.nextCursor).toBe(itemsOf(first)[0].id)
    expect(itemsOf(second).map(({ messageId }) => messageId)).toEqual(['3'])
    expect(itemsOf(third)).toEqual([])
    expect(third.nextCursor).toBe(second.nextCursor)
    expect(itemsOf(await live.list(crm, { ...list, after: cursorOf(third.nextCursor) }, never))).toEqual([])
  })

  test('looks at about 5,000 events at a time, and answers with a cursor to go on from', async ({ live, append, afilnet }) => {
    afilnet.list = [message('last')]
    await append(...Array.from({ length: 5_500 }, (_, n) => created(`${n}`, { destination: '34611111111' })), created('last'))
    const filtered = { ...list, destination: chat.destination }
    const first = await live.list(crm, filtered, never)
    const second = await live.list(crm, { ...filtered, after: cursorOf(first.nextCursor) }, never)

    expect([first, second].map(page => itemsOf(page).map(({ messageId }) => messageId))).toEqual([[], ['last']])
  })

  test('begins with the oldest event that is kept, without a gap, where its consumer has no cursor yet', async ({
    live,
    append,
    store,
    clock,
    afilnet,
  }) => {
    afilnet.list = ['1', '2'].map(id => message(id))
    await append(created('1'))
    clock.ms += 2 * hour
    await append(created('2'))
    await store.log.trim(hour)

    expect(itemsOf(await live.list(crm, list, never)).map(({ type, messageId }) => [type, messageId])).toEqual([['message.created', '2']])
  })

  test('answers a wait with the first event that passes, at the end, and at a drain', async ({ live, append, afilnet }) => {
    afilnet.list = [message('1')]
    const wait = { ...list, waitMs: hour, destination: chat.destination } // the test ends before it
    const { nextCursor } = await live.list(crm, list, never)
    const waiting = live.list(crm, { ...wait, after: cursorOf(nextCursor) }, never)
    await append(created('0', { destination: '34611111111' }))
    await append(created('1'))
    expect(itemsOf(await waiting).map(({ messageId }) => messageId)).toEqual(['1'])

    const ended = live.list(crm, { ...wait, waitMs: 30, after: cursorOf((await waiting).nextCursor) }, never)
    expect(itemsOf(await ended)).toEqual([])
    const drained = live.list(crm, { ...wait, after: cursorOf((await ended).nextCursor) }, never)
    await live.list(crm, { ...list, after: cursorOf((await ended).nextCursor) }, never) // by now the other one waits
    await live.drain(0)
    expect(itemsOf(await drained)).toEqual([])
  })

  test('ends a wait when the log has lost its last events, for its consumer to come back', async ({ start, store, append, afilnet }) => {
    let [lost, reads] = [0, 0]
    const read: typeof store.log.read = async (...args) => {
      const { mark, events } = await store.log.read(...args)
      reads++
      return { ...(mark && { mark: { ...mark, last: mark.last - lost } }), events }
    }
    const live = start({ log: { ...store.log, read } })
    afilnet.list = [message('1')]
    await append(created('1'))
    const { nextCursor } = await live.list(crm, list, never)
    reads = 0
    const waiting = live.list(crm, { ...list, waitMs: hour, types: ['gap'], after: cursorOf(nextCursor) }, never)
    await expect.poll(() => reads).toBeGreaterThan(1)
    lost = 1e12
    await append(created('2'))

    await expect(waiting).rejects.toMatchObject({ code: 'store-unavailable' })
  })

  test('misses no event that comes between its look at the log and its wait', async ({ start, store, append, afilnet }) => {
    let [isLooking, wasRead] = [false, () => {}]
    const read: typeof store.log.read = async (account, position, limit) => {
      const found = await store.log.read(account, position, limit)
      if (found.events.length > 0) setImmediate(wasRead)
      else if (isLooking && limit > 1) {
        isLooking = false
        const { promise, resolve } = Promise.withResolvers<void>()
        wasRead = resolve
        await append(created('1'))
        await promise // by then all who wait have been told
      }
      return found
    }
    const live = start({ log: { ...store.log, read } })
    afilnet.list = [message('1')]
    const { nextCursor } = await live.list(crm, list, never)
    isLooking = true
    const { items } = await live.list(crm, { ...list, waitMs: hour, after: cursorOf(nextCursor) }, never)

    expect(items).toHaveLength(1)
  })

  test('waits at the end of a log whose last events were erased, and reads it no more than any other', async ({
    start,
    store,
    append,
    afilnet,
  }) => {
    let reads = 0
    const read: typeof store.log.read = (...args) => {
      reads++
      return store.log.read(...args)
    }
    const live = start({ log: { ...store.log, read } })
    afilnet.list = ['1', '2', '3'].map(id => message(id))
    await append(created('1'), created('2'))
    const first = await live.list(crm, { ...list, limit: 1 }, never)
    await store.forget(chat.destination)
    reads = 0
    const second = await live.list(crm, { ...list, waitMs: 200, after: cursorOf(first.nextCursor) }, never)
    expect(second.items).toEqual([])
    expect(reads).toBeLessThan(10)
    await append(created('3'))

    const third = await live.list(crm, { ...list, waitMs: 30_000, after: cursorOf(second.nextCursor) }, never)
    expect(itemsOf(third).map(({ messageId }) => messageId)).toEqual(['3'])
  })

  test('answers the problem of the read while Afilnet cannot be read', async ({ live, append, afilnet }) => {
    afilnet.error = new Error('away')
    await append(created('1'))

    await expect(live.list(crm, list, never)).rejects.toBe(afilnet.error)
  })
})

describe('a gap', () => {
  test('comes first where events after the cursor were trimmed, and what is left follows', async ({
    live,
    append,
    store,
    clock,
    open,
    afilnet,
  }) => {
    afilnet.list = ['1', '2', '3'].map(id => message(id))
    await append(created('1'))
    const [first] = itemsOf(await live.list(crm, list, never))
    await append(created('2'))
    clock.ms += 2 * hour
    await append(created('3'))
    await store.log.trim(hour)
    const after = cursorOf(first.id)
    const { items, nextCursor } = await live.list(crm, { ...list, after, types: ['message.created'] }, never)
    const stream = await open(crm, { after, types: ['message.created'] })

    const [gap, event] = itemsOf({ items })
    expect(gap).toMatchObject({ type: 'gap', reason: 'retention', platform: null, platformId: null, destination: null, messageId: null })
    expect([event.messageId, event.id]).toEqual(['3', nextCursor])
    await expect.poll(() => stream.blocks().map(({ event }) => event)).toEqual([undefined, 'gap', 'message.created'])
    expect(itemsOf(await live.list(crm, { ...list, after: cursorOf(gap.id) }, never)).map(({ messageId }) => messageId)).toEqual(['3'])
  })

  test.for([
    ['another log', (cursor: ReturnType<typeof cursorOf>) => ({ ...cursor, identity: 'AAAAAAAA' })],
    ['a log that is older than the cursor', (cursor: ReturnType<typeof cursorOf>) => ({ ...cursor, position: cursor.position + 1 })],
  ] as const)('comes first in %s, and is the first id of a stream', async ([, change], { live, append, afilnet, open }) => {
    afilnet.list = [message('1')]
    await append(created('1'))
    const [event] = itemsOf(await live.list(crm, list, never))
    const after = change(cursorOf(event.id))
    const found = itemsOf(await live.list(crm, { ...list, after }, never))
    const stream = await open(crm, { after })
    await expect.poll(() => stream.blocks()).toHaveLength(3)

    expect(found.map(({ type, reason }) => [type, reason])).toEqual([
      ['gap', 'log-replaced'],
      ['message.created', undefined],
    ])
    expect(new Set(found.map(({ id }) => id)).size).toBe(2)
    expect(stream.blocks().map(({ id }) => id)).toEqual([undefined, ...found.map(({ id }) => id)])
  })
})

describe('The number of streams', () => {
  test('is bounded for a token and for a key', async ({ open }) => {
    const token = { id: 't', actor: '', chat, expiresAt: Number.MAX_SAFE_INTEGER }
    const streams = await Promise.all(Array.from({ length: 5 }, () => open({ ...crm, token })))

    await expect(open({ ...crm, token })).rejects.toMatchObject({ code: 'too-many-streams' })
    streams[0]?.leave()
    await open({ ...crm, token })
    const limited = { ...crm, name: 'shop', rateLimit: { streams: 1 } }
    const one = await open(limited)
    await expect(open(limited)).rejects.toMatchObject({ code: 'too-many-streams' })
    one.leave()
    await open(limited)
  })

  test('is bounded for a process, where a key gives way to others down to a half', async ({ start }) => {
    const live = start({ maxStreams: 4 })
    const ended: number[] = []
    let opened = 0
    const open = (name: string) => {
      const n = opened++
      let leave = () => {}
      const end = () => {
        ended.push(n)
        leave()
      }
      const sink = { write() {}, end, destroy: end, unsentBytes: 0, drained: async () => {} }
      return live
        .stream({ ...crm, name }, {}, () => sink)
        .then(left => {
          leave = left
        })
    }
    for (let n = 0; n < 4; n++) await open('crm')
    await expect(open('crm')).rejects.toMatchObject({ code: 'overloaded' })
    await open('shop')
    await open('shop')

    expect(ended).toEqual([3, 2])
    await expect(open('shop')).rejects.toMatchObject({ code: 'overloaded' })
    await expect(live.list({ ...crm, name: 'shop' }, { ...list, waitMs: 1_000 }, never)).rejects.toMatchObject({ code: 'overloaded' })
  })
})
