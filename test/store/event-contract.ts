import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { EventStore, NewEvent } from '../../src/store/event-log.ts'
import type { Archive, Store } from '../../src/store/store.ts'
import { policy, send } from './sends.ts'
import { withStore } from './with-store.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const hour = 3_600_000

/** An event like any other. */
export const created = (messageId: string, over: Partial<NewEvent> = {}): NewEvent => ({
  type: 'message.created',
  at: 1_000,
  ...chat,
  messageId,
  direction: 'in',
  ...over,
})

/** What the event log and the leases of any adapter must hold; `open` gives an empty store. */
export function eventContract(name: string, open: (options: StoreOptions) => Promise<Store & Archive & EventStore>) {
  const test = withStore(open, 1_000_000).extend<{ log: EventStore['log']; leases: EventStore['leases'] }>({
    log: ({ store }, use) => use(store.log),
    leases: ({ store }, use) => use(store.leases),
  })
  const ids = async ({ read }: EventStore['log'], after = 0, account = 'main') =>
    (await read(account, after, 1_000)).events.map(({ messageId }) => messageId)

  describe(`${name}: leases`, () => {
    test('let one holder have a name, with a fence that rises with each new holder', async ({ leases }) => {
      const first = (await leases.acquire('poll:main', 'a', 60_000)) ?? 0

      expect(first).toBeGreaterThan(0)
      expect(await leases.acquire('poll:main', 'b', 60_000)).toBeUndefined()
      expect(await leases.acquire('poll:main', 'a', 60_000)).toBe(first)
      expect(await leases.acquire('poll:other', 'b', 60_000)).toBeDefined()
      expect(await leases.renew('poll:main', first, 60_000)).toBe(true)
      await leases.release('poll:main', first)
      expect(await leases.acquire('poll:main', 'b', 60_000)).toBe(first + 1)
      expect(await leases.renew('poll:main', first, 60_000)).toBe(false)
      await leases.release('poll:main', first)
      expect(await leases.acquire('poll:main', 'a', 60_000), 'an old fence frees nothing').toBeUndefined()
    })

    test('let exactly one of 20 have a name', async ({ leases }) => {
      const fences = await Promise.all(Array.from({ length: 20 }, (_, n) => leases.acquire('poll:main', `${n}`, 60_000)))

      expect(fences.filter(fence => fence !== undefined)).toHaveLength(1)
    })

    test('pass an expired name on', async ({ leases, clock }) => {
      const fence = (await leases.acquire('poll:main', 'a', 1)) ?? 0
      clock.ms += 2 // on a server, real time passes

      await expect.poll(() => leases.acquire('poll:main', 'b', 60_000), { interval: 5 }).toBeGreaterThan(fence)
    })

    test('are not held by a fence of the store that was there before', async ({ leases, clock }) => {
      const fence = (await leases.acquire('poll:main', 'a', 60_000)) ?? 0
      clock.ms += 1
      const next = await open({ ...policy, now: () => clock.ms, monotonic: () => clock.ms })
      await next.leases.acquire('poll:main', 'b', 60_000)
      const isHeld = await next.leases.renew('poll:main', fence, 60_000)
      await next.close()

      expect(isHeld).toBe(false)
    })
  })

  describe(`${name}: events`, () => {
    test('come back as they were, in order, after a position', async ({ log }) => {
      const events = [
        created('1', { messageId: `quotes '"; and \u{1F600}` }),
        created('2', { type: 'gap', destination: null, messageId: null, direction: null, reason: 'list-moved-on' }),
        created('3', { type: 'send.updated', sender: { caller: 'crm', account: 'main' }, send: '{"id":"x"}' }),
      ]
      const { identity } = await log.open('main')
      const [first = 0, second = 0, third = 0] = (await log.append('main', { events })) ?? []

      const { mark, events: read } = await log.read('main', 0, 10)
      expect(read).toEqual([
        { ...events[0], position: first },
        { ...events[1], position: second },
        { ...events[2], position: third },
      ])
      expect(mark).toEqual({ identity, trimmed: 0, last: third })
      expect((await log.read('main', first, 1)).events.map(({ position }) => position)).toEqual([second])
      expect(await log.read('main', third, 10)).toEqual({ mark, events: [] })
      expect((await log.read('main', -1, 1)).events.map(({ position }) => position)).toEqual([first]) // a webhook's, before the gap of a new log
    })

    test('have positions that rise, however many come at once and although the clock goes back', async ({ log, clock }) => {
      await log.open('main')
      const batches = await Promise.all(Array.from({ length: 20 }, (_, n) => log.append('main', { events: [created(`${n}`)] })))
      clock.ms -= 500_000
      const more = await log.append('main', { events: Array.from({ length: 3_000 }, (_, n) => created(`more-${n}`)) })

      const positions = [...batches.flat(), ...(more ?? [])] as number[]
      expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b))
      expect(positions.every(Number.isSafeInteger)).toBe(true)
      expect((await ids(log, positions[19])).slice(0, 2)).toEqual(['more-0', 'more-1'])
    })

    test('are kept apart by account', async ({ log }) => {
      const marks = [await log.open('main'), await log.open('other')]
      await log.append('main', { events: [created('1')] })

      expect(marks[0]?.identity).not.toBe(marks[1]?.identity)
      expect(await log.accounts()).toEqual(['main', 'other'])
      expect([await ids(log), await ids(log, 0, 'other')]).toEqual([['1'], []])
      expect(await log.read('third', 0, 10)).toEqual({ events: [] })
      const states = [{ key: 'k', destination: null, state: 's' }]
      await expect(log.append('third', { states, events: [created('1')] })).rejects.toThrow()
      expect(await log.find('third', ['k']), 'not in part').toEqual([undefined])
    })

    test('and new states are refused together when the fence is old', async ({ log, leases }) => {
      await log.open('main')
      const fence = (await leases.acquire('poll:main', 'a', 60_000)) ?? 0
      const lease = { name: 'poll:main', fence }
      const states = [{ key: 'k', destination: '34600000000', state: 'one' }]
      await log.append('main', { lease, states, events: [created('1')] })
      await leases.release('poll:main', fence)
      await leases.acquire('poll:main', 'b', 60_000)

      expect(await log.append('main', { lease, states: [{ ...states[0], state: 'two' } as never], events: [created('2')] })).toBeUndefined()
      expect(await ids(log)).toEqual(['1'])
      expect(await log.states('main')).toMatchObject({ states })
    })

    test('wake those who watch their account', async ({ log }) => {
      for (const account of ['main', 'other']) await log.open(account)
      const heard: string[] = []
      const stop = log.watch(['main'], account => heard.push(account))
      await log.append('other', { events: [created('1')] })
      await log.append('main', { events: [created('2')] })

      await expect.poll(() => heard.includes('main')).toBe(true)
      expect(heard).not.toContain('other')
      stop()
    })
  })

  describe(`${name}: known states`, () => {
    test('come back page by page, replaced and deleted', async ({ log }) => {
      await log.open('main')
      const key = (n: number) => `whatsapp/100/${String(n).padStart(5, '0')}`
      const put = (from: number, to: number, state: string | null) =>
        log.append('main', {
          states: Array.from({ length: to - from }, (_, n) => ({ key: key(from + n), destination: `${from + n}`, state })),
          events: [],
        })
      await put(0, 1_500, 'old')
      await put(10, 1_500, 'new')
      await put(20, 1_500, null)
      await log.append('main', { states: [{ key: 'channel', destination: null, state: `NUL \0, ü` }], events: [] })

      const found = new Map<string, unknown>()
      for (let page = await log.states('main'); ; page = await log.states('main', page.next)) {
        for (const { key, destination, state } of page.states) found.set(key, [destination, state])
        if (page.next === undefined) break
      }
      expect(await log.find('main', [key(9), 'nothing', key(19)])).toEqual(['old', undefined, 'new'])
      expect(found.size).toBe(21)
      expect([found.get(key(9)), found.get(key(19)), found.get('channel')]).toEqual([
        ['9', 'old'],
        ['19', 'new'],
        [null, `NUL \0, ü`],
      ])
    })
  })

  describe(`${name}: trim`, () => {
    test('deletes what is older, and remembers up to where', async ({ log, clock }) => {
      const { identity } = await log.open('main')
      const [, old] = (await log.append('main', { events: [created('1'), created('2')] })) ?? []
      clock.ms += hour
      const [last] = (await log.append('main', { events: [created('3')] })) ?? []
      clock.ms += hour / 2

      expect(await log.trim(hour)).toBe(2)
      expect(await log.read('main', 0, 10)).toMatchObject({ mark: { identity, trimmed: old, last }, events: [{ messageId: '3' }] })
      expect(await log.trim(hour)).toBe(0)
    })

    test('deletes what is older after a clock that was far ahead was set back', async ({ log, clock }) => {
      await log.open('main')
      const append = (id: string) => log.append('main', { events: [created(id, { at: clock.ms })] })
      await append('before')
      clock.ms += 9_000 * hour
      await append('while ahead')
      clock.ms -= 8_999 * hour
      const [last] = (await append('after')) ?? []
      clock.ms += hour / 2

      expect(await log.trim(hour)).toBe(1)
      expect(await log.read('main', 0, 10)).toMatchObject({
        mark: { last },
        events: [{ messageId: 'while ahead' }, { messageId: 'after' }],
      })
      clock.ms += hour
      await append('last')
      expect(await log.trim(hour)).toBe(2)
      expect(await ids(log)).toEqual(['last'])
    })

    test('keeps what is not old, although one behind it, or the clock itself, is', async ({ log, clock }) => {
      await log.open('main')
      const append = (id: string, at = clock.ms) => log.append('main', { events: [created(id, { at })] })
      await append('right')
      await append('of a clock that is behind', clock.ms - 9_000 * hour)
      clock.ms += 9_000 * hour
      await append('of a clock that is ahead')
      clock.ms -= 9_000 * hour
      expect(await log.trim(hour)).toBe(0)

      clock.ms -= 9_000 * hour
      await append('of the same clock, later')
      expect(await log.trim(hour)).toBe(0)
    })

    test('deletes a whole log that is used no more, and makes another one when it is', async ({ log, clock }) => {
      const { identity } = await log.open('main')
      await log.append('main', { states: [{ key: 'k', destination: null, state: 's' }], events: [created('1')] })
      clock.ms += 30 * hour
      while ((await log.trim(hour)) > 0);

      expect(await log.read('main', 0, 10)).toEqual({ events: [] })
      expect(await log.states('main')).toMatchObject({ states: [] })
      expect((await log.open('main')).identity).not.toBe(identity)
    })

    test('deletes whole logs only, if that is asked', async ({ log, clock }) => {
      await log.open('main')
      await log.open('left')
      await log.append('main', { events: [created('1')] })
      await log.append('left', { states: [{ key: 'k', destination: chat.destination, state: 's' }], events: [created('2')] })
      clock.ms += 30 * hour
      await log.open('main')
      while ((await log.trim(hour, 'unused')) > 0);

      expect(await ids(log)).toEqual(['1'])
      expect(await log.accounts()).toEqual(['main'])
      expect(await log.states('left')).toMatchObject({ states: [] })
    })

    test('deletes nothing until the clock has been steady', async ({ log, clock }) => {
      await log.open('main')
      await log.append('main', { events: [created('1')] })
      clock.ms += 60_000

      expect(await log.trim(0)).toBe(0)
      expect(await ids(log)).toEqual(['1'])
    })
  })

  describe(`${name}: forget`, () => {
    test('erases the events and states of a destination, of every account', async ({ log, store }) => {
      const states = [
        { key: 'a', destination: chat.destination, state: 's' },
        { key: 'b', destination: '34611111111', state: 's' },
      ]
      for (const account of ['main', 'other']) {
        await log.open(account)
        const many = Array.from({ length: 250 }, (_, n) => created(`more-${n}`))
        await log.append(account, { states, events: [created('1'), created('2', { destination: '34611111111' }), ...many] })
      }
      const { mark } = await log.read('main', 0, 10)
      await store.forget(chat.destination)

      expect([await ids(log), await ids(log, 0, 'other')]).toEqual([['2'], ['2']])
      expect((await log.states('main')).states).toEqual([states[1]])
      expect((await log.read('main', 0, 10)).mark).toEqual(mark)
    })
  })

  describe(`${name}: a store over its size limit`, () => {
    test('drops the oldest events and goes on', async ({ log, store, clock }) => {
      await store.close()
      const small = await open({ ...policy, maxBytes: 200_000, now: () => clock.ms, monotonic: () => clock.ms })
      await small.log.open('main')
      const batch = (n: number) => Array.from({ length: 200 }, (_, i) => created(`${n}-${i}`, { reason: 'x'.repeat(200) }))
      for (let n = 0; n < 20; n++) {
        expect(await small.claim(send())).toEqual({ claimed: true })
        await small.log.append('main', { events: batch(n) })
      }

      const { mark, events } = await small.log.read('main', 0, 1_000)
      expect(mark?.trimmed).toBeGreaterThan(0)
      expect(events.length).toBeLessThan(4_000)
      expect((await small.log.read('main', (mark?.last ?? 0) - 1, 1)).events[0]?.messageId).toBe('19-199')
      expect(log).toBeDefined()
      await small.close()
    })
  })
}
