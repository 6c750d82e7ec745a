import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { EventStore } from '../../src/store/event-log.ts'
import { type Archive, lookAfterMs, type NewSend, type Store } from '../../src/store/store.ts'
import { crm, ended, policy, send } from './sends.ts'
import { withStore } from './with-store.ts'

/** What any adapter must hold of what became of sends; `open` gives an empty store. */
export function findingsContract(name: string, open: (options: StoreOptions) => Promise<Store & Archive & EventStore>) {
  const test = withStore(open)
  const digest = 'd'.repeat(22)

  async function put(store: Store, over: Partial<NewSend> = {}) {
    const row = send({ textDigest: digest, ...over })
    await store.claim(row)
    return row
  }
  const idsOf = (rows: readonly { id: string }[]) => rows.map(({ id }) => id)

  describe(`${name}: what a person or the conversation says`, () => {
    const says = ['caller', 'read-back'] as const
    test.for(says)('ends an unknown send, once, and no other one: %s', async (settledBy, { store }) => {
      const row = await put(store)
      const outcome = { ...ended('accepted', 3_000), settledBy }

      expect(await store.settle(row, outcome)).toEqual({ settled: false, row: { ...row, state: 'pending' } })
      await store.settle(row, ended('unknown'))
      expect(await store.settle(row, outcome)).toEqual({ settled: true })
      expect(await store.find(crm, row.id)).toEqual({ ...row, ...outcome })
      expect(await store.settle(row, { ...outcome, state: 'rejected' })).toMatchObject({ settled: false, row: { state: 'accepted' } })
    })

    test('frees the key and the quota where nothing was sent', async ({ store }) => {
      const row = await put(store, { idempotencyKey: 'k' })
      await store.settle(row, ended('unknown'))
      const outcome = { ...ended('not_sent', 3_000), answer: '', settledBy: 'caller', note: 'NUL \0, \u{1F600}' } as const

      expect(await store.claim(send({ idempotencyKey: 'k' }), 1)).toMatchObject({ claimed: false, existing: { id: row.id } })
      expect(await store.settle(row, outcome)).toEqual({ settled: true })
      expect(await store.find(crm, row.id)).toEqual({ ...row, ...outcome })
      expect(await store.claim(send({ idempotencyKey: 'k' }), 1)).toEqual({ claimed: true })
    })
  })

  describe(`${name}: note`, () => {
    test('keeps the message of a send, and each new status of it', async ({ store }) => {
      const row = await put(store)
      await store.settle(row, ended('accepted'))
      const found = { messageId: '1001', deliveryStatus: 'SENT', deliveryAt: 3_000 }

      expect(await store.note(row, found)).toBe(true)
      expect(await store.note(row, { ...found, deliveryAt: 4_000 }), 'known').toBe(false)
      expect(await store.note(row, { ...found, messageId: '1002' }), 'another row').toBe(false)
      expect(await store.note(row, { messageId: '1001', deliveryAt: 4_000 }), 'nothing is said').toBe(false)
      expect(await store.find(crm, row.id)).toEqual({ ...row, ...ended('accepted'), ...found })
      expect(await store.note(row, { ...found, deliveryStatus: 'READ', deliveryAt: 5_000 })).toBe(true)
      expect(await store.find(crm, row.id)).toMatchObject({ deliveryStatus: 'READ', deliveryAt: 5_000 })
    })

    test('survives how the send ends', async ({ store }) => {
      const row = await put(store)
      expect(await store.note(row, { messageId: '1001', deliveryAt: 1_500 })).toBe(true)
      await store.settle(row, ended('unknown'))

      expect(await store.find(crm, row.id)).toEqual({ ...row, ...ended('unknown'), messageId: '1001', deliveryAt: 1_500 })
    })

    test('comes with the end of a send that still ran', async ({ store }) => {
      const row = await put(store)
      const found = { messageId: '1001', deliveryStatus: 'SENT', deliveryAt: 1_500 }
      await store.note(row, found)

      expect(await store.settle(row, ended('accepted'))).toEqual({ settled: true, row: { ...row, ...ended('accepted'), ...found } })
    })

    test('knows no id of nobody', async ({ store }) => {
      expect(await store.note({ ...crm, id: 'nobody' }, { messageId: '1', deliveryAt: 1 })).toBe(false)
    })
  })

  describe(`${name}: takeLookups`, () => {
    test('gives an unknown message at each of its times, and to one that asks only', async ({ store, clock }) => {
      const row = await put(store)
      await store.settle(row, ended('unknown'))

      for (const ms of lookAfterMs) {
        clock.ms = 2_000 + ms - 1
        expect(await store.takeLookups(['main'], 10)).toEqual([])
        clock.ms++
        const taken = await Promise.all([store.takeLookups(['main'], 10), store.takeLookups(['main'], 10)])
        expect(taken.flat()).toEqual([{ ...row, ...ended('unknown') }])
      }
      clock.ms += 1_000_000
      expect(await store.takeLookups(['main'], 10)).toEqual([])
    })

    test('gives what a dead process left, once it is unknown', async ({ store, clock }) => {
      const row = await put(store)
      clock.ms += policy.leaseMs
      expect(await store.takeLookups(['main'], 10)).toEqual([])
      await store.expireLeases()
      clock.ms += lookAfterMs[0]

      expect(idsOf(await store.takeLookups(['main'], 10))).toEqual([row.id])
    })

    test('gives one time for all that were missed', async ({ store, clock }) => {
      await store.settle(await put(store), ended('unknown'))
      clock.ms = 2_000 + 59_999

      expect(await store.takeLookups(['main'], 10)).toHaveLength(1)
      expect(await store.takeLookups(['main'], 10)).toHaveLength(0)
      clock.ms++
      expect(await store.takeLookups(['main'], 10)).toHaveLength(1)
    })

    test('gives no file, no send without a text, none that has ended, and none of another account', async ({ store, clock }) => {
      const { textDigest, ...bare } = send()
      await store.claim(bare)
      const rows = [bare, await put(store, { kind: 'file' }), await put(store), await put(store, { account: 'other' })]
      for (const row of rows) await store.settle(row, ended('unknown'))
      await store.settle(rows[2] as NewSend, ended('accepted'))
      clock.ms = 100_000

      expect(await store.takeLookups(['main', 'third'], 10)).toEqual([])
      expect(await store.takeLookups(['main', 'other'], 10)).toHaveLength(1)
    })

    test('gives no more than asked for, the earliest first', async ({ store, clock }) => {
      for (const settledAt of [2_300, 2_100, 2_200]) await store.settle(await put(store), ended('unknown', settledAt))
      await store.settle(await put(store, { account: 'other' }), ended('unknown'))
      clock.ms = 10_000

      const take = async () => (await store.takeLookups(['main', 'other'], 2)).map(({ settledAt }) => settledAt)
      expect([await take(), await take()]).toEqual([
        [2_100, 2_200],
        [2_300, 2_000],
      ])
    })
  })

  describe(`${name}: send.updated`, () => {
    test('is in the event log with each change after the POST was answered, and with no other', async ({ store, clock }) => {
      await store.log.open('main')
      const [row, other, lost] = [await put(store), await put(store, { account: 'other' }), await put(store)]
      const announced = async () =>
        (await store.log.read('main', 0, 10)).events.map(({ type, sender, messageId, destination, send: text = '' }) => {
          const { id, state } = JSON.parse(text)
          return { type, sender, messageId, destination, id, state }
        })
      await store.note(row, { messageId: '7', deliveryAt: 1_500 })
      await store.settle(row, ended('unknown'))
      expect(await announced()).toEqual([])

      await store.settle(row, { ...ended('accepted'), settledBy: 'late-answer', late: true })
      await store.settle(row, { ...ended('rejected'), late: true })
      await store.note(row, { messageId: '7', deliveryStatus: 'READ', deliveryAt: 2_500 })
      await store.settle(other, { ...ended('accepted'), late: true })
      clock.ms += policy.leaseMs
      await store.expireLeases()
      const { destination } = row
      const event = { type: 'send.updated', sender: crm, destination }
      expect(await announced()).toEqual([
        { ...event, messageId: '7', id: row.id, state: 'accepted' },
        { ...event, messageId: '7', id: row.id, state: 'accepted' },
        { ...event, messageId: null, id: lost.id, state: 'unknown' },
      ])
      const [, read] = (await store.log.read('main', 0, 10)).events
      expect(JSON.parse(read?.send ?? '')).toMatchObject({ deliveryStatus: 'READ', deliveryAt: 2_500, settledAt: 2_000, createdAt: 1_000 })
      expect(read?.send).not.toMatch(/fingerprint|textDigest|ops@example/)
    })
  })

  test(`${name}: send.updated tells that a send was accepted which it told to be unknown`, async ({ store, clock }) => {
    await store.log.open('main')
    const row = await put(store)
    clock.ms += policy.leaseMs
    await store.expireLeases()
    await store.settle(row, ended('accepted', clock.ms))

    const { events } = await store.log.read('main', 0, 10)
    expect(events.map(({ send: text = '' }) => JSON.parse(text).state)).toEqual(['unknown', 'accepted'])
  })

  describe(`${name}: conversation and recent`, () => {
    const at = (ms: number) =>
      `${ms
        .toString(16)
        .padStart(12, '0')
        .replace(/^(.{8})/, '$1-')}-7000-8000-000000000000`

    test('give the sends of all callers since a time, and no others', async ({ store }) => {
      const first = await put(store, { id: at(5_000) })
      const second = await put(store, { id: at(6_000), caller: 'shop', account: 'second' })
      await put(store, { id: at(4_999) })
      await put(store, { id: at(7_000), user: 'another' })
      await put(store, { id: at(7_001), platformId: '200' })
      await put(store, { id: at(7_002), platform: 'telegram' })
      await put(store, { id: at(7_003), destination: '34600000001' })
      await put(store, { id: at(7_004), destination: '+34600000000' })

      expect(idsOf(await store.conversation(first, 5_000)).sort()).toEqual([first.id, second.id])
    })

    test('give all of a conversation, however many others its destination has had', async ({ store, clock }) => {
      const queued = send({ id: at(1_000), dueAt: 1_000, expiresAt: 9_000_000 })
      await store.claim(queued, undefined, 'key.body')
      clock.ms = 2_000_000
      await store.takeDue('first', 1)
      const posted = await put(store, { id: at(1_000_000) })
      const others = (from: number, platform: string) =>
        Array.from({ length: 1_000 }, (_, n) => ({ ...send({ id: at(from + n), platform }), ...ended('accepted') }))
      await store.load([...others(2_000, 'whatsapp'), ...others(1_000_001, 'telegram')])

      expect(idsOf(await store.conversation(posted, 1_000_000)).sort()).toEqual([queued.id, posted.id])
    })

    test('recent gives those of an account that Afilnet may have', async ({ store }) => {
      const rows = [
        await put(store, { id: at(5_000) }),
        await put(store, { id: at(5_001), caller: 'shop' }),
        await put(store, { id: at(5_002) }),
      ]
      await put(store, { id: at(4_000) })
      await put(store, { id: at(6_000), account: 'other' })
      await store.settle(rows[2] as NewSend, ended('rejected'))
      await store.settle(rows[1] as NewSend, ended('accepted'))

      expect(idsOf(await store.recent('main', 5_000)).sort()).toEqual([at(5_000), at(5_001)])
    })
  })
}
