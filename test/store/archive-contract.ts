import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { Archive, NewSend, SendRow, SendState, Store } from '../../src/store/store.ts'
import { crm, ended, policy, send, shop } from './sends.ts'
import { withStore } from './with-store.ts'

type Both = Store & Archive

const states = ['pending', 'accepted', 'rejected', 'not_sent', 'unknown'] as const

/** A row as another store would hand it over. */
const row = (state: SendState, over: Partial<NewSend> = {}): SendRow => ({
  ...send(over),
  ...(state === 'pending' || state === 'queued' ? { state } : ended(state)),
})
const rows = (count: number, over: Partial<NewSend> = {}) => Array.from({ length: count }, () => row('accepted', over))

async function dumpAll(store: Archive) {
  const all: SendRow[] = []
  for (let page = await store.dump(); page.length > 0; page = await store.dump(page.at(-1)?.id)) all.push(...page)
  return all
}
const loadAll = async (store: Archive, all: readonly SendRow[]) => {
  for (let n = 0; n < all.length; n += 1_000) await store.load(all.slice(n, n + 1_000))
}

/** What any adapter must hold towards an operator; `open` gives an empty store. */
export function archiveContract(name: string, open: (options: StoreOptions) => Promise<Both>) {
  const test = withStore(open, 3_000)

  describe(`${name}: dump`, () => {
    test('gives all rows of all callers in order of id, a thousand at a time', async ({ store }) => {
      const all = [...rows(1_250), ...rows(1_250, { caller: 'shop' })]
      await loadAll(store, [...all].reverse())

      const first = await store.dump()
      expect(first).toEqual(all.slice(0, 1_000))
      expect(await store.dump(first.at(-1)?.id)).toEqual(all.slice(1_000, 2_000))
      expect(await dumpAll(store)).toEqual(all)
      expect(await store.dump(all.at(-1)?.id)).toEqual([])
    })

    test('gives what was claimed and settled, every member of it', async ({ store }) => {
      const [settled, pending] = [send({ reference: 'NUL \0, \u{1F600}', idempotencyKey: 'k', kind: 'file' }), send()]
      await store.claim(settled)
      await store.claim(pending)
      await store.settle(settled, ended('rejected'))

      expect(await store.dump()).toEqual([
        { ...settled, ...ended('rejected') },
        { ...pending, state: 'pending' },
      ])
    })

    test('gives what has expired until it is swept', async ({ store, clock }) => {
      await store.load([row('accepted')])
      clock.ms = 2_000 + policy.keepMs

      expect(await store.list(crm, { limit: 10 })).toEqual([])
      expect(await store.dump()).toHaveLength(1)
      await store.deleteExpired()
      expect(await store.dump()).toEqual([])
    })
  })

  describe(`${name}: load`, () => {
    test.for(states)('takes a send that is %s as it is', async (state, { store }) => {
      const taken = row(state, { reference: 'r', idempotencyKey: 'k' })

      expect(await store.load([taken])).toBe(1)
      expect(await store.find(crm, taken.id)).toEqual(taken)
      const { platform, platformId, destination } = taken
      for (const filter of [{}, { state }, { reference: 'r' }, { idempotencyKey: 'k' }, { platform, platformId, destination }])
        expect(await store.list(crm, { ...filter, limit: 10 })).toEqual([taken])
      const again = await store.claim(send({ idempotencyKey: 'k' }))
      expect(again).toEqual(state === 'not_sent' ? { claimed: true } : { claimed: false, existing: taken })
    })

    test.for(states)('counts a send that is %s only if it may have been taken', async (state, { store }) => {
      await store.load([row(state)])

      expect(await store.claim(send(), 1)).toEqual({ claimed: state === 'rejected' || state === 'not_sent' })
    })

    test('leaves out what it has, and counts nothing twice', async ({ store }) => {
      const [one, two] = [row('accepted', { idempotencyKey: 'k' }), row('unknown')]
      await store.load([one])

      expect(await store.load([{ ...one, state: 'rejected' }, two])).toBe(1)
      expect(await store.load([one, two])).toBe(0)
      expect(await store.dump()).toEqual([one, two])
      expect(await store.claim(send(), 3)).toEqual({ claimed: true })
    })

    test('leaves out a send whose key is held, but not one that lets go of it', async ({ store }) => {
      const holder = row('accepted', { idempotencyKey: 'k' })
      await store.load([holder])
      const unsent = row('not_sent', { idempotencyKey: 'k' })

      expect(await store.load([row('accepted', { idempotencyKey: 'k' }), unsent])).toBe(1)
      expect(await store.load([row('accepted', { idempotencyKey: 'k', caller: 'shop' })])).toBe(1)
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toEqual({ claimed: false, existing: holder })
    })

    test('takes a send whose key is held by an expired one', async ({ store, clock }) => {
      await store.load([row('accepted', { idempotencyKey: 'k' })])
      clock.ms = 2_000 + policy.keepMs
      const taken = { ...row('accepted', { idempotencyKey: 'k' }), settledAt: clock.ms }

      expect(await store.load([taken])).toBe(1)
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toEqual({ claimed: false, existing: taken })
    })

    test('leaves a pending send to the first that settles it, its owner or expireLeases', async ({ store }) => {
      const [late, dead] = [row('pending'), row('pending')]
      await store.load([late, dead])

      expect(await store.settle(late, ended('accepted'))).toMatchObject({ settled: true })
      expect(await store.expireLeases()).toBe(1)
      expect(await store.find(crm, dead.id)).toMatchObject({ state: 'unknown' })
    })

    test('lets what it took expire and be swept', async ({ store, clock }) => {
      await store.load([row('accepted'), row('unknown'), row('pending')])
      clock.ms = 2_000 + policy.keepMs

      expect(await store.deleteExpired()).toBe(1)
      clock.ms = 2_000 + policy.keepUnknownMs
      expect(await store.deleteExpired()).toBe(1)
      expect(await store.dump()).toMatchObject([{ state: 'pending' }])
    })
  })

  test(`${name}: deleteExpired leaves what had expired before until the clock has been steady`, async ({ store, clock }) => {
    await store.load([{ ...row('accepted'), settledAt: clock.ms - policy.keepMs }])

    expect(await store.deleteExpired()).toBe(0)
    clock.ms += 600_000
    expect(await store.deleteExpired()).toBe(1)
  })

  describe(`${name}: adopt`, () => {
    const secret = Buffer.alloc(32, 5)

    test('makes a secret its own, once', async ({ store }) => {
      expect([await store.adopt(secret), await store.adopt(secret)]).toEqual([true, true])
      expect(Buffer.from(await store.secret())).toEqual(secret)
    })

    test('keeps the secret that it has', async ({ store }) => {
      const own = await store.secret()

      expect(await store.adopt(secret)).toBe(false)
      expect(await store.secret()).toEqual(own)
    })
  })

  describe(`${name}: forget`, () => {
    const destination = '34699999999'

    test("deletes every caller's sends to a destination, and frees their keys", async ({ store }) => {
      const theirs = [row('accepted', { destination, idempotencyKey: 'k' }), ...rows(2, { destination, caller: 'shop', reference: 'r' })]
      const others = [...rows(2), row('accepted', { destination: `${destination}0`, caller: 'shop' })]
      await store.load([...theirs, ...others])

      expect(await store.forget(destination)).toEqual({ gone: 3, pending: 0 })
      expect(await store.dump()).toEqual(others)
      for (const filter of [{ destination }, { reference: 'r' }, { idempotencyKey: 'k' }])
        for (const sender of [crm, shop]) expect(await store.list(sender, { ...filter, limit: 10 })).toEqual([])
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toEqual({ claimed: true })
      expect(await store.forget(destination)).toEqual({ gone: 0, pending: 0 })
    })

    test.for(states)('of one that is %s: only what may still change stays', async (state, { store }) => {
      await store.load([row(state, { destination })])

      const pending = state === 'pending' ? 1 : 0
      expect(await store.forget(destination)).toEqual({ gone: 1 - pending, pending })
      expect(await store.dump()).toHaveLength(pending)
    })

    test('takes no group that is written almost alike, and counts what is pending once', async ({ store }) => {
      const group = row('accepted', { destination: '34600000000-1609459200' })
      const running = send({ destination: '346000000001609459200' })
      await store.load([group])
      await store.claim(running)

      expect(await store.forget(running.destination)).toEqual({ gone: 0, pending: 1 })
      expect(await store.dump()).toMatchObject([group, { id: running.id }])
      await store.claim(send({ destination: 'group' }))
      expect(await store.forget('group')).toEqual({ gone: 0, pending: 1 })
    })

    test('lets a pending send end, and takes it then', async ({ store }) => {
      const running = send({ destination })
      await store.claim(running)

      expect(await store.forget(destination)).toEqual({ gone: 0, pending: 1 })
      expect(await store.settle(running, ended('accepted'))).toMatchObject({ settled: true })
      expect(await store.forget(destination)).toEqual({ gone: 1, pending: 0 })
    })

    test('deletes thousands', async ({ store }) => {
      const theirs = [...rows(1_500, { destination }), ...rows(1_500, { destination, caller: 'shop' })]
      const other = row('accepted')
      await loadAll(store, [...theirs, other])

      expect(await store.forget(destination)).toEqual({ gone: 3_000, pending: 0 })
      expect(await store.dump()).toEqual([other])
    })

    test('still counts what it deleted', async ({ store }) => {
      await store.load([row('accepted', { destination })])
      await store.forget(destination)

      expect(await store.claim(send(), 1)).toEqual({ claimed: false })
    })
  })
}
