import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { EventStore } from '../../src/store/event-log.ts'
import type { Archive, NewSend, Outcome, Store } from '../../src/store/store.ts'
import { crm, ended, policy, send } from './sends.ts'
import { withStore } from './with-store.ts'

type Whole = Store & Archive & EventStore

/** What any adapter must hold of the queue; `open` gives an empty store. */
export function queueContract(name: string, open: (options: StoreOptions) => Promise<Whole>) {
  const test = withStore(open)
  const other = { destination: '34600000001' }
  const canceled: Outcome = { state: 'canceled', settledAt: 1_500, answer: '', settledBy: 'caller' }

  async function queue(store: Store, over: Partial<NewSend> = {}, sealed = 'key.body') {
    const row = send({ dueAt: 2_000, expiresAt: 9_000, ...over })
    expect(await store.claim(row, undefined, sealed)).toEqual({ claimed: true })
    return row
  }
  const take = async (store: Store, limit = 10) => (await store.takeDue('first', limit)).due.map(({ row }) => row.id)
  const stateOf = async (store: Store, { id }: NewSend) => (await store.find(crm, id))?.state

  describe(`${name}: a queued send`, () => {
    test('is given when it is due, once, with its body', async ({ store, clock }) => {
      const row = await queue(store, { idempotencyKey: 'k' })
      expect(await store.find(crm, row.id)).toEqual({ ...row, state: 'queued' })
      expect(await store.list(crm, { state: 'queued', limit: 10 })).toHaveLength(1)
      expect(await store.takeDue('first', 10)).toEqual({ due: [], expired: [], nextAt: 2_000 })
      clock.ms = 2_000
      const taken = await Promise.all([store.takeDue('first', 10), store.takeDue('first', 10)])

      const started = { ...row, owner: 'first', state: 'pending', startedAt: 2_000 }
      expect(await store.list(crm, { state: 'pending', limit: 10 })).toEqual([started])
      expect(taken.flatMap(({ due }) => due)).toEqual([{ row: started, sealed: 'key.body', attempts: 1 }])
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { id: row.id, state: 'pending' } })
      expect(await store.settle(row, { ...ended('accepted'), late: true })).toEqual({ settled: true })
      expect(await store.backlog()).toEqual({ waiting: 0, held: 0 })
    })

    test('goes in the order of its conversation, one at a time, and holds up no other one', async ({ store, clock }) => {
      const late = await queue(store, { dueAt: 3_000 })
      const [first, second] = [await queue(store), await queue(store)]
      const elsewhere = await queue(store, other)
      clock.ms = 4_000

      expect((await take(store)).sort()).toEqual([first.id, elsewhere.id].sort())
      const meanwhile = await queue(store)
      await store.unqueue(await queue(store), canceled)
      expect(await take(store)).toEqual([])
      await store.settle(first, ended('unknown'))
      expect(await take(store)).toEqual([second.id])
      await store.settle(second, ended('rejected'))
      expect(await take(store)).toEqual([meanwhile.id])
      await store.settle(meanwhile, ended('rejected'))
      expect(await take(store)).toEqual([late.id])
    })

    test('waits for no other account: the one that holds the fewest places gets the next, as long as it holds fewer than are free', async ({
      store,
      clock,
    }) => {
      const queueFor = (account: string, destination: number, dueAt: number) =>
        queue(store, { account, destination: String(destination), dueAt })
      const backlog: NewSend[] = []
      for (let n = 0; n < 12; n++) backlog.push(await queueFor('main', n, 2_000 + n))
      const mine = [await queueFor('shop', 100, 2_500), await queueFor('shop', 101, 2_500), await queueFor('shop', 102, 4_000)]
      clock.ms = 3_000
      const taking = async (running: Record<string, number>) => {
        const { due, nextAt } = await store.takeDue('first', 8, new Map(Object.entries(running)))
        return { ids: due.map(({ row }) => row.id), nextAt }
      }
      const ids = (rows: (NewSend | undefined)[]) => rows.map(row => row?.id)

      expect(await taking({ shop: 4 }), 'wakes for none at its share').toEqual({ ids: ids(backlog.slice(0, 2)), nextAt: 9_000 })
      expect(await taking({ main: 2, shop: 6 }), 'no place is free').toEqual({ ids: [], nextAt: 9_000 })
      expect(await taking({ main: 4 })).toEqual({ ids: ids(mine.slice(0, 2)), nextAt: 4_000 })
      expect(await taking({}), 'by turns, and in order').toEqual({ ids: ids(backlog.slice(2, 6)), nextAt: 4_000 })
      const others = [await queueFor('third', 200, 2_800), await queueFor('fourth', 201, 2_900)]
      expect((await taking({ main: 3, shop: 2 })).ids, 'of equals the one that has waited longest').toEqual(ids(others))
      clock.ms = 4_000
      expect((await taking({ main: 4 })).ids).toEqual(ids(mine.slice(2)))
    })

    test('waits for its next attempt, before those behind it', async ({ store, clock }) => {
      const [first, second] = [await queue(store), await queue(store)]
      clock.ms = 2_000
      await take(store)
      expect(await store.requeue(first, 5_000, 2), 'another attempt').toBe(false)
      expect(await store.requeue(first, 5_000, 1)).toBe(true)
      expect(await store.requeue(first, 6_000, 1)).toBe(false)
      expect((await store.list(crm, { state: 'queued', limit: 10 })).map(({ id }) => id)).toEqual([second.id, first.id])
      expect(await store.backlog(), 'since when it has been due').toEqual({ waiting: 2, held: 0, dueAt: first.dueAt })
      clock.ms = 4_999
      expect(await store.takeDue('first', 10)).toEqual({ due: [], expired: [], nextAt: 5_000 })
      clock.ms = 5_000

      const { due } = await store.takeDue('second', 10)
      expect(due).toMatchObject([{ row: { id: first.id, startedAt: 5_000, owner: 'second' }, attempts: 2 }])
      await store.settle(first, ended('accepted'))
      expect(await take(store)).toEqual([second.id])
    })

    test('that was given is known until it ends, to the process that has it', async ({ store, clock }) => {
      const [row, gone] = [await queue(store), await queue(store, other)]
      clock.ms = 2_000
      await take(store)
      const posted = send({ owner: 'first' })
      await store.claim(posted)
      await store.settle(gone, ended('accepted'))

      expect(await store.sealedByOthers(['new']), 'it has been read').toEqual([])
      expect(await store.pendingOf('second')).toEqual([])
      const pending = (await store.pendingOf('first')).sort((a, b) => b.attempts - a.attempts)
      expect(pending).toEqual([
        { row: { ...row, owner: 'first', state: 'pending', startedAt: 2_000 }, attempts: 1 },
        { row: { ...posted, state: 'pending' }, attempts: 0 },
      ])
      await store.requeue(row, 2_000, 1)
      await store.settle(posted, ended('accepted'))
      expect(await store.pendingOf('first')).toEqual([])
    })

    test('expires, and is never given then', async ({ store, clock }) => {
      const [row, behind] = [await queue(store, { idempotencyKey: 'k' }), await queue(store, { expiresAt: 20_000 })]
      clock.ms = 9_000

      const { due, expired } = await store.takeDue('first', 10)
      expect(due.map(({ row }) => row.id)).toEqual([behind.id])
      expect(expired).toEqual([{ account: 'main', kind: 'message', id: row.id }])
      expect(await store.find(crm, row.id)).toEqual({ ...row, state: 'expired', settledAt: 9_000, answer: '' })
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { state: 'expired' } })
    })

    test('is canceled or given, never both', async ({ store, clock }) => {
      const rows = []
      for (let n = 0; n < 20; n++) rows.push(await queue(store, { destination: `3460000${1_000 + n}` }))
      clock.ms = 2_000
      const [taken, ...ends] = await Promise.all([take(store, 5), ...rows.map(row => store.unqueue(row, canceled)), take(store)])

      const gone = rows.filter((_, n) => (ends[n] as { settled: boolean }).settled).map(({ id }) => id)
      const given = [...(taken as string[]), ...(ends.at(-1) as unknown as string[])]
      expect(gone.filter(id => given.includes(id))).toEqual([])
      expect([...gone, ...given].sort()).toEqual(rows.map(({ id }) => id))
    })

    test('gives the quota back when it ends unsent, and its key only if it is not sent', async ({ store, clock }) => {
      const row = await queue(store, { idempotencyKey: 'k' })
      expect(await store.claim(send(), 1)).toEqual({ claimed: false })
      expect(await store.unqueue(row, canceled)).toEqual({ settled: true })
      expect(await store.unqueue(row, canceled)).toMatchObject({ settled: false, row: { state: 'canceled', settledBy: 'caller' } })
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { state: 'canceled' } })
      const lost = await queue(store, { idempotencyKey: 'l' }, 'other.body')
      expect((await store.sealedByOthers(['key', 'third'])).map(({ id }) => id)).toEqual([lost.id])
      await store.unqueue(lost, { ...canceled, state: 'not_sent' })
      expect(await store.claim(send({ idempotencyKey: 'l' }), 1)).toEqual({ claimed: true })
      clock.ms = 5_000
      expect(await take(store)).toEqual([])
    })

    test('shows that it waits behind one that runs', async ({ store, clock }) => {
      const [, behind] = [await queue(store), await queue(store, { dueAt: 2_500 })]
      clock.ms = 3_000
      await take(store)

      expect(await store.backlog()).toEqual({ waiting: 1, held: 0, dueAt: behind.dueAt })
    })

    test('is left to a process that has yet to make its first heartbeat', async ({ store, clock }) => {
      const row = await queue(store)
      clock.ms = 2_000
      await take(store)

      expect(await store.expireLeases()).toBe(0)
      expect(await stateOf(store, row)).toBe('pending')
    })

    test('is unknown if its process dies while it runs, and queued if it dies before', async ({ store, clock }) => {
      const [running, waiting] = [await queue(store, { expiresAt: 900_000 }), await queue(store, { expiresAt: 900_000 })]
      clock.ms = 2_000
      await take(store)
      clock.ms += policy.leaseMs
      expect(await store.expireLeases()).toBe(1)

      expect([await stateOf(store, running), await stateOf(store, waiting)]).toEqual(['unknown', 'queued'])
      expect(await take(store)).toEqual([waiting.id])
    })

    test('is held until it is released, and expires all the same', async ({ store, clock }) => {
      const rows = [await queue(store), await queue(store, { expiresAt: 3_000 }), await queue(store, other)]
      expect(await store.holdQueue()).toBe(3)
      const later = await queue(store)
      clock.ms = 3_500
      expect(await take(store)).toEqual([later.id])
      expect(await store.backlog()).toMatchObject({ waiting: 0, held: 2 })
      await store.settle(later, ended('accepted'))
      expect(await store.releaseQueue()).toBe(2)

      expect((await take(store)).sort()).toEqual([rows[0]?.id, rows[2]?.id].sort())
    })

    test('is erased with its body by forget', async ({ store, clock }) => {
      await queue(store)
      expect(await store.forget('34600000000')).toEqual({ gone: 1, pending: 0 })
      clock.ms = 5_000

      expect(await store.backlog()).toEqual({ waiting: 0, held: 0 })
      expect(await take(store)).toEqual([])
    })

    test('says so in the event log at each step', async ({ store, clock }) => {
      await store.log.open('main')
      const [row, late] = [await queue(store), await queue(store, { ...other, expiresAt: 2_500 })]
      await store.unqueue(late, canceled)
      clock.ms = 2_000
      await take(store)
      await store.requeue(row, 2_500, 1)
      clock.ms = 9_000
      await take(store)

      const { events } = await store.log.read('main', 0, 10)
      const told = events.map(({ send: text = '' }) => JSON.parse(text))
      expect(told.map(({ state }) => state)).toEqual(['canceled', 'pending', 'queued', 'expired'])
      const { fingerprint: _, user: __, owner: ___, ...shown } = (await store.find(crm, row.id)) ?? row
      expect(told.at(-1)).toEqual(shown)
    })

    test('is found in its conversation by the time of its attempt', async ({ store, clock }) => {
      const row = await queue(store, { id: '00000000-0001-7000-8000-000000000000' }) // long before
      clock.ms = 2_000
      await take(store)

      expect(await store.conversation(row, 1_990)).toMatchObject([{ id: row.id, startedAt: 2_000 }])
    })
  })
}
