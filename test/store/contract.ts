import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { NewSend, SendState, Store, StoreFault } from '../../src/store/store.ts'
import { crm, ended, policy, send, shop } from './sends.ts'
import { withStore } from './with-store.ts'

const day = 86_400_000
const ends = ['accepted', 'rejected', 'not_sent', 'unknown'] as const

/** What any adapter must hold; `open` gives an empty store. */
export function storeContract(name: string, open: (options: StoreOptions) => Promise<Store>) {
  const test = withStore(open)

  async function put(store: Store, state: SendState, over: Partial<NewSend> = {}) {
    const row = send(over)
    await store.claim(row)
    if (state !== 'pending' && state !== 'queued') await store.settle(row, ended(state))
    return row
  }

  describe(`${name}: claim`, () => {
    test('keeps every member of the row', async ({ store }) => {
      const row = send({ reference: `NUL \0, quotes '"; and \u{1F600}`, idempotencyKey: 'k', kind: 'file' })

      expect(await store.claim(row)).toEqual({ claimed: true })
      expect(await store.find(crm, row.id)).toEqual({ ...row, state: 'pending' })
    })

    test('lets exactly one of 50 win a key, and shows it to the others', async ({ store }) => {
      const rows = Array.from({ length: 50 }, () => send({ idempotencyKey: 'k' }))
      const claims = await Promise.all(rows.map(row => store.claim(row)))

      const winner = rows[claims.findIndex(({ claimed }) => claimed)]
      expect(claims.filter(({ claimed }) => claimed)).toHaveLength(1)
      expect(claims.filter(({ claimed }) => !claimed)).toEqual(
        Array(49).fill({ claimed: false, existing: { ...winner, state: 'pending' } }),
      )
      expect(await store.list(crm, { limit: 100 })).toHaveLength(1)
    })

    test('takes every row without a key', async ({ store }) => {
      expect(await Promise.all([store.claim(send()), store.claim(send())])).toEqual([{ claimed: true }, { claimed: true }])
    })

    test('gives each caller keys of its own', async ({ store }) => {
      await store.claim(send({ idempotencyKey: 'k' }))

      expect(await store.claim(send({ idempotencyKey: 'k', caller: 'shop' }))).toEqual({ claimed: true })
    })

    test('gives each account of a caller keys and sends of its own', async ({ store }) => {
      const other = { caller: 'crm', account: 'other' }
      const ours = send({ idempotencyKey: 'k' })
      const theirs = send({ idempotencyKey: 'k', account: 'other' })

      expect([await store.claim(ours), await store.claim(theirs)]).toEqual([{ claimed: true }, { claimed: true }])
      expect(await store.claim(send({ idempotencyKey: 'k', account: 'other' }))).toMatchObject({ existing: { id: theirs.id } })
      expect(await store.find(crm, theirs.id)).toBeUndefined()
      expect((await store.list(crm, { limit: 10 })).map(({ id }) => id)).toEqual([ours.id])
      expect((await store.list(other, { idempotencyKey: 'k', limit: 10 })).map(({ id }) => id)).toEqual([theirs.id])
    })

    test('takes ten attempts for each send of the quota and a hundred more, however they end', async ({ store }) => {
      for (let n = 0; n < 110; n++) await put(store, n % 2 ? 'rejected' : 'not_sent')

      expect(await store.claim(send(), 1)).toEqual({ claimed: false })
      expect(await store.claim(send({ caller: 'shop' }), 1)).toEqual({ claimed: true })
      const more = await put(store, 'pending')
      expect(await store.find(crm, more.id), 'without a quota there is no bound').toMatchObject({ state: 'pending' })
    })

    test('takes no more of a caller’s sends of a day than the quota, whatever else runs', async ({ store }) => {
      const claims = await Promise.all(Array.from({ length: 50 }, () => store.claim(send(), 3)))

      expect(claims.filter(({ claimed }) => claimed)).toHaveLength(3)
      expect(claims.filter(({ claimed }) => !claimed)).toEqual(Array(47).fill({ claimed: false }))
      expect(await store.list(crm, { limit: 100 })).toHaveLength(3)
      expect(await store.claim(send({ caller: 'shop' }), 3)).toEqual({ claimed: true })
      expect(await store.claim(send({ createdAt: 86_400_000 }), 3), 'the next day').toEqual({ claimed: true })
      expect(await store.claim(send())).toEqual({ claimed: true })
    })

    test.for(ends)('after %s: the send counts only if it may have been taken', async (state, { store }) => {
      const row = await put(store, state, { idempotencyKey: 'k' })
      await store.settle(row, ended(state))

      expect(await store.claim(send(), 1)).toEqual({ claimed: state === 'rejected' || state === 'not_sent' })
    })

    test('counts an unknown send until it turns out to have been refused', async ({ store }) => {
      const row = await put(store, 'unknown')
      const before = await store.claim(send(), 1)
      await store.settle(row, ended('rejected'))

      expect([before, await store.claim(send(), 1)]).toEqual([{ claimed: false }, { claimed: true }])
    })

    test('tells of an earlier request with the key even when the quota is used up', async ({ store }) => {
      const row = await put(store, 'accepted', { idempotencyKey: 'k' })

      expect(await store.claim(send({ idempotencyKey: 'k' }), 1)).toEqual({ claimed: false, existing: { ...row, ...ended('accepted') } })
    })

    test('counts what has expired and was swept, as long as its day lasts', async ({ store, clock }) => {
      await put(store, 'accepted')
      clock.ms = policy.keepMs + 3_000
      await store.deleteExpired()

      expect(await store.list(crm, { limit: 10 })).toEqual([])
      expect(await store.claim(send(), 1)).toEqual({ claimed: false })
    })

    test.for(ends)('after %s: the key is free only if nothing was sent', async (state, { store }) => {
      const row = await put(store, state, { idempotencyKey: 'k' })

      const again = await store.claim(send({ idempotencyKey: 'k' }))
      expect(again).toEqual(state === 'not_sent' ? { claimed: true } : { claimed: false, existing: { ...row, ...ended(state) } })
    })

    test('frees a key any number of times, and keeps what happened', async ({ store }) => {
      for (const state of ['not_sent', 'not_sent', 'accepted'] as const) await put(store, state, { idempotencyKey: 'k' })

      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { state: 'accepted' } })
      const kept = await store.list(crm, { idempotencyKey: 'k', limit: 10 })
      expect(kept.map(({ state }) => state)).toEqual(['accepted', 'not_sent', 'not_sent'])
    })

    test('fails alone when it is wrong', async ({ store }) => {
      const row = send()
      const [first, twice, other] = await Promise.allSettled([store.claim(row), store.claim(row), store.claim(send())])

      expect([first.status, twice.status, other.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(await store.list(crm, { limit: 10 })).toHaveLength(2)
    })

    test('is refused beyond the size limit, where replays, settling and sweeping go on', async ({ clock }) => {
      const states: unknown[] = []
      const onState = (ok: boolean, fault?: StoreFault) => states.push(ok ? 'ok' : fault)
      const store = await open({ ...policy, maxBytes: 400_000, now: () => clock.ms, monotonic: () => clock.ms, onState })
      const rows = Array.from({ length: 2_000 }, (_, n) => send({ idempotencyKey: `k${n}` }))
      const refusals: unknown[] = []
      for (const row of rows) if (refusals.length === 0) await store.claim(row).catch(error => refusals.push(error.cause))
      const taken = await store.list(crm, { limit: 2_000 })

      expect(refusals).toEqual(['limit'])
      expect(states).toEqual(['limit'])
      expect(await store.claim(send({ idempotencyKey: 'k0' }))).toMatchObject({ claimed: false })
      const settled = await Promise.all(taken.map(row => store.settle(row, ended('accepted'))))
      expect(settled.every(({ settled }) => settled)).toBe(true)
      clock.ms += policy.keepMs + 1_000
      expect(await store.deleteExpired()).toBe(taken.length)
      expect(await store.claim(send())).toEqual({ claimed: true })
      await store.close()
      expect(states, 'its end is no fault').toEqual(['limit', 'ok'])
    })
  })

  describe(`${name}: a ledger over its size limit`, () => {
    test('gives up what was not sent, then what was refused, of the caller with the most', async ({ clock }) => {
      const store = await open({ ...policy, maxBytes: 600_000, now: () => clock.ms, monotonic: () => clock.ms })
      const accepted = await put(store, 'accepted')
      const few = await put(store, 'rejected', { caller: 'shop' })
      for (let n = 0; n < 200; n++) await put(store, n < 100 ? 'rejected' : 'not_sent')
      const notSent = async () => (await store.list(crm, { state: 'not_sent', limit: 200 })).length
      const claimed: string[] = []
      for (let n = 0; n < 2_000 && (n % 50 > 0 || (await notSent()) === 100); n++) {
        const row = send()
        await store.claim(row)
        claimed.push(row.id)
      }

      expect(await notSent()).toBeLessThan(100)
      expect(await store.find(shop, few.id)).toMatchObject({ state: 'rejected' })
      expect(await store.find(crm, accepted.id)).toMatchObject({ state: 'accepted' })
      for (const id of [claimed[0], claimed.at(-1)]) expect(await store.find(crm, String(id))).toMatchObject({ state: 'pending' })
      await store.close()
    })
  })

  describe(`${name}: the actor of a token`, () => {
    test('is kept with the send, empty or not', async ({ store }) => {
      const [alice, empty, key] = await Promise.all([
        put(store, 'accepted', { actor: 'alice' }),
        put(store, 'accepted', { actor: '' }),
        put(store, 'accepted'),
      ])

      expect(await store.find(crm, alice.id)).toMatchObject({ actor: 'alice' })
      expect(await store.find(crm, empty.id)).toMatchObject({ actor: '' })
      expect(await store.find(crm, key.id)).not.toHaveProperty('actor')
      const own = (actor: string, destination = '34600000000') => store.list(crm, { actor, destination, limit: 10 })
      expect(await own('alice')).toMatchObject([{ id: alice.id }])
      expect(await own('')).toMatchObject([{ id: empty.id }])
      expect([await own('bob'), await own('alice', '34600000001')]).toEqual([[], []])
      expect(await store.list(crm, { limit: 10 })).toHaveLength(3)
    })
  })

  describe(`${name}: settle`, () => {
    const allowed = new Set([...ends.map(to => `pending ${to}`), 'unknown accepted', 'unknown rejected'])
    test.for(['pending', ...ends] as const)('moves from %s only where it may', async (from, { store }) => {
      for (const to of ends) {
        const row = await put(store, from)
        const before = await store.find(crm, row.id)

        const settled = allowed.has(`${from} ${to}`)
        const after = settled ? { ...row, ...ended(to, 3_000) } : before
        expect(await store.settle(row, ended(to, 3_000))).toEqual(settled ? { settled } : { settled, row: after })
        expect(await store.find(crm, row.id)).toEqual(after)
      }
    })

    test('lets one of many win', async ({ store }) => {
      const row = await put(store, 'pending')
      const settled = await Promise.all(Array.from({ length: 20 }, (_, n) => store.settle(row, ended('accepted', n))))

      expect(settled.filter(({ settled }) => settled)).toHaveLength(1)
    })

    test('says that it does not know an id', async ({ store }) => {
      expect(await store.settle({ ...crm, id: 'nobody' }, ended('accepted'))).toEqual({ settled: false })
    })
  })

  describe(`${name}: retention`, () => {
    const keep = { accepted: policy.keepMs, rejected: policy.keepMs, not_sent: policy.keepMs, unknown: policy.keepUnknownMs }
    test.for(ends)('%s is gone at its time and not before, swept or not', async (state, { store, clock }) => {
      const row = await put(store, state, { idempotencyKey: 'k' })

      clock.ms = 2_000 + keep[state] - 1
      expect(await store.find(crm, row.id)).toBeDefined()
      clock.ms++
      expect(await store.find(crm, row.id)).toBeUndefined()
      expect(await store.list(crm, { limit: 10 })).toEqual([])
      const next = send({ idempotencyKey: 'k' })
      expect(await store.claim(next)).toEqual({ claimed: true })
      expect(await store.claim(send({ idempotencyKey: 'k' })), 'held again').toMatchObject({ claimed: false, existing: { id: next.id } })
    })

    test('counts anew from a late answer, and no longer as unknown', async ({ store, clock }) => {
      const row = await put(store, 'unknown')
      clock.ms = policy.keepUnknownMs
      await store.settle(row, ended('accepted', clock.ms))

      clock.ms += policy.keepMs - 1
      expect(await store.deleteExpired()).toBe(0)
      expect(await store.find(crm, row.id)).toBeDefined()
      clock.ms++
      expect(await store.find(crm, row.id)).toBeUndefined()
    })

    test('counts from the right time where a send ended while the clock was far behind', async () => {
      const clock = { wall: 10 * policy.keepUnknownMs, monotonic: 5_000.5 } // the one shows whole milliseconds, the other fractions
      const store = await open({ ...policy, now: () => clock.wall, monotonic: () => clock.monotonic })
      const row = send({ idempotencyKey: 'k' })
      const queued = send({ idempotencyKey: 'q', dueAt: clock.wall, expiresAt: 2 * clock.wall })
      const late = send({ idempotencyKey: 'x', dueAt: 1, expiresAt: 1 })
      const lost = send({ idempotencyKey: 'l' })
      for (const pending of [row, lost]) await store.claim(pending)
      for (const waiting of [queued, late]) await store.claim(waiting, undefined, 'sealed')
      clock.monotonic += 0.2
      clock.wall -= policy.keepUnknownMs
      await store.settle(row, ended('accepted', clock.wall))
      await store.unqueue(queued, ended('canceled', clock.wall))
      await store.takeDue('first', 0)
      await store.release(lost.owner)
      clock.wall += policy.keepUnknownMs

      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { state: 'accepted' } })
      expect(await store.claim(send({ idempotencyKey: 'q' }))).toMatchObject({ claimed: false, existing: { state: 'canceled' } })
      expect(await store.claim(send({ idempotencyKey: 'x' }))).toMatchObject({ claimed: false, existing: { state: 'expired' } })
      expect(await store.claim(send({ idempotencyKey: 'l' }))).toMatchObject({ claimed: false, existing: { state: 'unknown' } })
      await store.close()
    })

    test('sweeps what is gone, in slices, and nothing else', async ({ store, clock }) => {
      const rows = []
      for (let n = 0; n < 5; n++) rows.push(...(await Promise.all(Array.from({ length: 500 }, () => put(store, 'accepted')))))
      const kept = [await put(store, 'pending'), await put(store, 'unknown')]

      expect(await store.deleteExpired()).toBe(0)
      clock.ms = 2_000 + policy.keepMs
      expect(await store.deleteExpired()).toBe(rows.length)
      clock.ms = 1_000 // not merely invisible
      expect((await store.list(crm, { limit: 100 })).map(({ id }) => id).sort()).toEqual(kept.map(({ id }) => id))
      clock.ms = 2_000 + policy.keepUnknownMs
      expect(await store.deleteExpired()).toBe(1)
    })
  })

  describe(`${name}: find and list`, () => {
    test("never show another caller's sends", async ({ store }) => {
      const row = await put(store, 'accepted', { idempotencyKey: 'k', reference: 'r' })

      expect(await store.find(shop, row.id)).toBeUndefined()
      for (const filter of [{}, { idempotencyKey: 'k' }, { reference: 'r' }, { state: 'accepted' as const }])
        expect(await store.list(shop, { ...filter, limit: 10 })).toEqual([])
    })

    test('end as their callers have, unless they are done', async ({ store }) => {
      const reason = new Error('the caller has left')

      await expect(store.list(crm, { limit: 1 }, { reason })).rejects.toBe(reason)
      await expect(store.find(crm, 'x', { reason })).rejects.toBe(reason)
    })

    test('let callers take turns', async ({ store }) => {
      for (let n = 0; n < 20; n++) await put(store, 'accepted')
      const row = await put(store, 'accepted', { caller: 'shop' })
      const ended: string[] = []
      const long = Array.from({ length: 60 }, () => store.list(crm, { limit: 100 }).then(() => ended.push('crm')))
      const short = store.list(shop, { limit: 1 }).then(rows => {
        ended.push('shop')
        return rows
      })

      expect((await short).map(({ id }) => id)).toEqual([row.id])
      await Promise.all(long)
      expect(ended.indexOf('shop')).toBeLessThan(30)
    })

    test('let no caller wait with more than 200', async ({ store }) => {
      const lists = Array.from({ length: 300 }, () => store.list(crm, { limit: 1 }).catch(error => error.cause))
      const other = store.list(shop, { limit: 1 })

      expect((await Promise.all(lists)).filter(cause => cause === 'busy')).toHaveLength(98)
      expect(await other).toEqual([])
    })

    test('find all of the few that match a filter among many', async ({ store }) => {
      const rows = Array.from({ length: 1_200 }, (_, n) =>
        send({ platform: n % 2 ? 'whatsapp' : 'telegram', platformId: n % 3 ? '100' : '7' }),
      )
      await Promise.all(rows.map(row => store.claim(row)))
      const wanted = rows.filter(({ platform, platformId }) => platform === 'telegram' && platformId === '7').map(({ id }) => id)

      const found = await store.list(crm, { platform: 'telegram', platformId: '7', limit: 2_000 })
      expect(found.map(({ id }) => id)).toEqual(wanted.reverse())
    })

    test('pages newest first, undisturbed by what arrives meanwhile', async ({ store }) => {
      const rows = []
      for (let n = 0; n < 25; n++) rows.push(await put(store, 'pending'))

      const seen: string[] = []
      for (let page = await store.list(crm, { limit: 10 }); page.length > 0; ) {
        seen.push(...page.map(({ id }) => id))
        await put(store, 'pending')
        page = await store.list(crm, { limit: 10, before: seen.at(-1) ?? '' })
      }
      expect(seen).toEqual(rows.map(({ id }) => id).reverse())
    })

    const odd = { platform: 'telegram', platformId: '7', destination: '34699999999', reference: 'r', idempotencyKey: 'k' }
    test.for(Object.entries({ ...odd, state: 'rejected' }))('list filters by %s', async ([name, value], { store }) => {
      for (let n = 0; n < 3; n++) await put(store, 'accepted', { reference: 'other', idempotencyKey: `other${n}` })
      const row = await put(store, 'rejected', odd)

      expect(await store.list(crm, { [name]: value, limit: 10 })).toEqual([{ ...row, ...ended('rejected') }])
      expect(await store.list(crm, { [name]: value, limit: 10, before: row.id })).toEqual([])
      expect(await store.list(crm, { [name]: 'nothing', limit: 10 })).toEqual([])
      expect(await store.list(crm, { platform: 'webchat', [name]: value, limit: 10 })).toHaveLength(name === 'platform' ? 1 : 0)
    })
  })

  describe(`${name}: leases`, () => {
    test('a dead owner leaves unknowns without an answer, a live one is left alone', async ({ store, clock }) => {
      const dead = await put(store, 'pending')
      const done = await put(store, 'accepted')
      const alive = await put(store, 'pending', { owner: 'second' })

      clock.ms += policy.leaseMs - 1
      expect(await store.expireLeases()).toBe(0)
      await store.heartbeat('second')
      clock.ms++
      expect(await store.expireLeases()).toBe(1)
      expect(await store.find(crm, dead.id)).toEqual({ ...dead, state: 'unknown', settledAt: clock.ms })
      expect(await store.find(crm, done.id)).toMatchObject({ state: 'accepted' })
      expect(await store.find(crm, alive.id)).toMatchObject({ state: 'pending' })
    })

    test('a heartbeat says how much of the room is taken', async ({ store }) => {
      const before = await store.heartbeat('first')
      for (let i = 0; i < 40; i++) await put(store, 'accepted', { reference: 'x'.repeat(100) })

      expect(await store.heartbeat('first')).toBeGreaterThan(before + 4_000)
      expect(await store.heartbeat('first')).toBe((await store.check()).bytes)
    })

    test('a claim is a heartbeat', async ({ store, clock }) => {
      await put(store, 'pending')
      clock.ms += policy.leaseMs - 1
      await put(store, 'pending')
      clock.ms += policy.leaseMs - 1

      expect(await store.expireLeases()).toBe(0)
    })

    test('none expires while the clock jumps, and none lasts longer for that', async () => {
      const clock = { wall: 1_000 * day, monotonic: 5_000 }
      const store = await open({ ...policy, now: () => clock.wall, monotonic: () => clock.monotonic })
      const row = await put(store, 'pending')
      clock.wall += 2 * day
      const expired = [await store.expireLeases()]
      await store.heartbeat('first') // until the day after tomorrow
      clock.wall -= 2 * day
      expired.push(await store.expireLeases())
      clock.wall += policy.leaseMs
      clock.monotonic += policy.leaseMs
      expired.push(await store.expireLeases())

      expect(expired).toEqual([0, 0, 1])
      expect(await store.find(crm, row.id)).toMatchObject({ state: 'unknown' })
      await store.close()
    })

    test('an owner that was only slow still brings its late answer, and nothing else', async ({ store, clock }) => {
      const [sent, unsent] = [await put(store, 'pending'), await put(store, 'pending')]
      clock.ms += policy.leaseMs
      await store.expireLeases()

      expect(await store.settle(sent, ended('accepted'))).toMatchObject({ settled: true })
      expect(await store.settle(unsent, ended('not_sent'))).toMatchObject({ settled: false, row: { state: 'unknown' } })
    })

    test('a release ends its own lease at once', async ({ store }) => {
      const mine = await put(store, 'pending')
      const other = await put(store, 'pending', { owner: 'second' })

      expect(await store.release('first')).toBe(1)
      expect(await store.find(crm, mine.id)).toMatchObject({ state: 'unknown', settledAt: 1_000 })
      expect(await store.find(crm, other.id)).toMatchObject({ state: 'pending' })
    })
  })

  describe(`${name}: the rest`, () => {
    test('has one secret', async ({ store }) => {
      const secrets = await Promise.all(Array.from({ length: 10 }, () => store.secret()))

      expect(new Set(secrets.map(secret => Buffer.from(secret).toString('hex'))).size).toBe(1)
      expect(secrets[0]).toHaveLength(32)
    })

    test('another store has another secret', async ({ store }) => {
      const other = await open(policy)

      expect(await other.secret()).not.toEqual(await store.secret())
      await other.close()
    })

    test('finds itself intact', async ({ store }) => {
      await put(store, 'accepted')

      expect(await store.check()).toMatchObject({ problems: [] })
    })

    test('refuses everything once closed, where closing twice is fine', async ({ store }) => {
      const last = store.claim(send({ owner: randomUUID() }))
      await Promise.all([store.close(), store.close()])

      expect(await last).toEqual({ claimed: true })
      await expect(store.claim(send())).rejects.toMatchObject({ name: 'StoreUnavailableError', cause: 'closed' })
      await expect(store.list(crm, { limit: 1 })).rejects.toMatchObject({ cause: 'closed' })
    })
  })
}
