import { describe, expect, onTestFinished, vi } from 'vitest'
import { StoreUnavailableError } from '../../src/store/store.ts'
import { chat, created, crm, cursorOf, idsOf, message, test, watched } from './delivery.ts'

const never = new AbortController().signal
const beats = { heartbeatMs: 30, tickMs: 10 }

describe('A stream that says nothing', () => {
  test('gets a comment and the id behind what its filters left out, and resumes there', async ({ start, openIn, append, afilnet }) => {
    afilnet.list = ['1', '2', '3'].map(id => message(id))
    const live = start(beats)
    const quiet = await openIn(live, crm, { types: ['send.updated'] })
    const first = quiet.blocks()[0]
    await append(created('1'), created('2'))

    await expect.poll(() => quiet.blocks().some(({ id }) => id !== first?.id)).toBe(true)
    await append(created('3'))
    const seen = quiet.blocks().findLast(({ id }) => id !== first?.id)
    expect(seen).toEqual({ comment: true, id: expect.any(String) })
    const all = await openIn(live, crm, { after: cursorOf(first?.id) })
    await expect.poll(() => idsOf(all)).toEqual(['1', '2', '3'])
    const { items } = await live.list(crm, { limit: 50, waitMs: 0, after: cursorOf(seen?.id) }, never)
    expect(items.map(item => JSON.parse(item).messageId)).not.toContain('2')
    expect(
      quiet
        .blocks()
        .slice(1)
        .every(({ comment }) => comment),
    ).toBe(true)
  })

  test('does not pass an event that it still waits for', async ({ start, openIn, append, afilnet }) => {
    afilnet.error = new Error('away')
    const live = start(beats)
    const stream = await openIn(live)
    const [first] = stream.blocks()
    await append(created('1'))

    await expect.poll(() => stream.blocks().length).toBeGreaterThan(3)
    expect(new Set(stream.blocks().map(({ id }) => id))).toEqual(new Set([first?.id]))
    expect(live.report()).toMatchObject([
      { account: 'main', streams: 1, behind: 1 },
      { account: 'other', streams: 0, behind: 0 },
    ])
  })
})

describe('A stream under a clock that the test turns', () => {
  /** Turns the clock that never jumps, by which streams are watched. */
  const turn = (ms: number) => {
    const { now } = performance
    vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + ms)
    onTestFinished(() => void vi.restoreAllMocks())
  }
  const beatsOf = (stream: { blocks: () => { comment?: true }[] }) => stream.blocks().filter(({ comment }) => comment).length

  test('gets one comment for each 15 seconds', async ({ start, openIn }) => {
    const stream = await openIn(start({ tickMs: 1 }))
    turn(15_000)

    await expect.poll(() => beatsOf(stream)).toBe(1)
    expect(stream.ended).toBe(false)
  })

  test('ends once 64 kB of it have been unsent for a minute', async ({ start, openIn }) => {
    const live = start({ tickMs: 1 })
    const [slow, quick] = [await openIn(live, crm, {}, { unsentBytes: 70_000 }), await openIn(live)]
    turn(15_000)
    await expect.poll(() => beatsOf(slow)).toBe(1)
    expect(slow.ended).toBe(false)
    vi.restoreAllMocks()
    turn(76_000)

    await expect.poll(() => slow.ended).toBe(true)
    expect(quick.ended).toBe(false)
  })
})

describe('A process', () => {
  test('holds 5,000 streams, of which one key has half while others wait', async ({ live, openIn }) => {
    live.reload(watched({ crm: '1', shop: '1', third: '1' }))
    const of = (name: string, count: number) => Promise.all(Array.from({ length: count }, () => openIn(live, { ...crm, name })))
    const first = await of('crm', 2_600)
    await of('shop', 2_400)
    const third = { ...crm, name: 'third' }
    for (let n = 0; n < 100; n++) await openIn(live, third)

    expect(first.filter(({ ended }) => ended)).toHaveLength(100)
    await expect(openIn(live, third)).rejects.toMatchObject({ code: 'overloaded', retry: 'yes' })
    expect(live.report()).toContainEqual({ account: 'main', streams: 5_000, behind: 0 })
  })
})

describe('An account', () => {
  test('has its log watched until a minute after the last of its consumers has left', async ({ start, store, openIn, append, afilnet }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    let watches = 0
    const watch: typeof store.log.watch = (...args) => {
      const stop = store.log.watch(...args)
      watches++
      return () => {
        watches--
        stop()
      }
    }
    const live = start({ log: { ...store.log, watch } })
    const { nextCursor } = await live.list(crm, { limit: 1, waitMs: 20 }, never)
    afilnet.error = new Error('away')
    await append(created('1'))
    const streams = [await openIn(live), await openIn(live, crm, { after: cursorOf(nextCursor) })] // one waits for a text
    await vi.advanceTimersByTimeAsync(60_000)
    expect(watches).toBe(1)
    for (const { leave } of streams) leave()
    await vi.advanceTimersByTimeAsync(59_000)
    expect(watches).toBe(1)
    await vi.advanceTimersByTimeAsync(1_000)

    expect(watches).toBe(0)
  })
})

describe('A long poll', () => {
  const wait = { limit: 50, waitMs: 3_600_000 } // the test ends before it

  test('ends with its key, and when a reload removes its caller', async ({ start, append, afilnet }) => {
    afilnet.list = [message('1')]
    const live = start(beats)
    const polls = [
      live.list({ ...crm, expires: new Date(Date.now() + 50).toISOString() }, wait, never),
      live.list(crm, wait, never),
      live.list({ ...crm, name: 'shop' }, wait, never),
    ]
    expect((await polls[0])?.items).toEqual([])
    live.reload(watched({ shop: '1' }))
    expect((await polls[1])?.items).toEqual([])
    await append(created('1'))

    expect((await polls[2])?.items).toHaveLength(1)
  })

  test('waits again for an account whose channels a reload took away, and another gave back', async ({ live, append, afilnet }) => {
    afilnet.list = [message('1')]
    await live.list(crm, { ...wait, waitMs: 0 }, never)
    live.reload({ ...watched(), accounts: new Map() })
    live.reload(watched())
    const polled = live.list(crm, wait, never)
    await live.list(crm, { ...wait, waitMs: 0 }, never) // by now the other one waits
    await append(created('1'))

    expect((await polled).items).toHaveLength(1)
  })

  test('gives way where another key needs its place', async ({ start, openIn }) => {
    const live = start({ maxStreams: 2 })
    const polls = [live.list(crm, wait, never), live.list(crm, wait, never)]
    const stream = await openIn(live, { ...crm, name: 'shop' })

    expect((await Promise.race(polls)).items).toEqual([])
    expect(stream.ended).toBe(false)
  })
})

describe('A stream', () => {
  test('ends at once if a reload has changed its caller since it was authenticated, as does a long poll', async ({ live, openIn }) => {
    live.reload(watched({ crm: '2', shop: '1' }))
    const [stream, other] = [await openIn(live), await openIn(live, { ...crm, name: 'shop' })]

    expect([stream.ended, other.ended]).toEqual([true, false])
    expect((await live.list(crm, { limit: 50, waitMs: 3_600_000 }, never)).items).toEqual([])
  })

  test('that opens while the gateway drains ends at once', async ({ live, open }) => {
    await live.drain(0)
    expect((await live.list(crm, { limit: 50, waitMs: 3_600_000 }, never)).items, 'as does a long poll').toEqual([])
    const stream = await open()

    expect(stream.ended).toBe(true)
    expect(stream.blocks().at(-1)).toEqual({ retry: '1000' })
  })

  test('that the ledger could not open gives its place back, and the next one opens', async ({ start, store, openIn }) => {
    let away = true
    const open = (account: string) => (away ? Promise.reject(new StoreUnavailableError('io')) : store.log.open(account))
    const live = start({ log: Object.assign(Object.create(store.log), { open }) })
    const limited = { ...crm, rateLimit: { streams: 1 } }
    await expect(openIn(live, limited)).rejects.toMatchObject({ code: 'store-unavailable' })
    away = false

    expect((await openIn(live, limited)).ended).toBe(false)
  })

  test('that catches up goes on a second after the ledger could not be read', async ({ start, store, openIn, append, afilnet }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    let failures = 0
    const read: typeof store.log.read = async (account, position, limit) => {
      if (limit > 1 && failures++ === 0) throw new StoreUnavailableError('io')
      return store.log.read(account, position, limit)
    }
    afilnet.list = [message('1'), message('2')]
    await append(created('1'), created('2'))
    const { items } = await start().list(crm, { limit: 1, waitMs: 0 }, never)
    const stream = await openIn(start({ log: { ...store.log, read } }), crm, { after: cursorOf(JSON.parse(items[0] ?? '').id) })
    await vi.waitUntil(() => failures === 1, { timeout: 40_000 })
    await vi.advanceTimersByTimeAsync(1_000)

    await vi.waitUntil(() => idsOf(stream).length > 0, { timeout: 40_000 })
    expect(idsOf(stream)).toEqual(['2'])
  })

  test('gets old events only as fast as it takes them, however many there are', async ({ live, openIn, append, afilnet }) => {
    const ids = Array.from({ length: 1_500 }, (_, n) => `${n}`)
    afilnet.list = ids.map(id => message(id, 'x'.repeat(2_000)))
    const { nextCursor } = await live.list(crm, { limit: 1, waitMs: 0 }, never)
    await append(...ids.map(id => created(id)))
    const stream = await openIn(live, crm, { after: cursorOf(nextCursor) }, { takesWhenAsked: true })

    await expect.poll(() => idsOf(stream)).toEqual(ids)
    expect(stream.ended).toBe(false)
    expect(stream.mostUnsent).toBeLessThan(200_000)
  })

  test('that has taken all before gets a single event of more than a megabyte', async ({ live, openIn, append, afilnet }) => {
    afilnet.list = [message('1', 'x'.repeat(1_500_000))]
    const stream = await openIn(live, crm, {}, { takesWhenAsked: true })
    stream.unsentBytes = 0 // of the first block
    await append(created('1'))

    await expect.poll(() => idsOf(stream)).toEqual(['1'])
    expect(stream.ended).toBe(false)
  })

  test('that keeps up counts how long ago Afilnet answered; one that catches up counts nothing', async ({
    start,
    openIn,
    append,
    afilnet,
  }) => {
    afilnet.list = [message('1'), message('2')]
    const lags: number[] = []
    const live = start({ onDelivered: (_, lagMs) => lags.push(lagMs) })
    const { nextCursor } = await live.list(crm, { limit: 1, waitMs: 0 }, never)
    await append(created('1', { at: Date.now() - 60_000 }))
    const late = await openIn(live, crm, { after: cursorOf(nextCursor) })
    await expect.poll(() => idsOf(late)).toEqual(['1'])
    expect(lags).toEqual([])
    await append(created('2', { at: Date.now() - 5_000, destination: chat.destination }))
    await expect.poll(() => idsOf(late)).toEqual(['1', '2'])

    expect(lags).toEqual([expect.closeTo(5_000, -4)])
    expect(live.report()).toContainEqual({ account: 'main', streams: 1, behind: 0 })
  })
})
