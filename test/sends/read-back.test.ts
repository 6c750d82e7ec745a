import { createSecretKey, type KeyObject } from 'node:crypto'
import { test as base, describe, expect } from 'vitest'
import type { ConversationRow, Listed } from '../../src/sends/dated-rows.ts'
import { ReadBack } from '../../src/sends/read-back.ts'
import { textDigest } from '../../src/sends/request.ts'
import { openStore } from '../../src/store/open.ts'
import type { Archive, NewSend, Outcome, Store } from '../../src/store/store.ts'
import { crm, ended, policy, send } from '../store/sends.ts'

const start = Date.UTC(2026, 0, 31, 12)
const at = (ms: number) => new Date(start + ms).toISOString().replace('.000Z', 'Z')
const chat = { account: 'main', user: 'ops@example.com', platform: 'whatsapp', platformId: '100', destination: '34600000000' }

type Here = {
  clock: { ms: number }
  store: Store & Archive
  secret: KeyObject
  /** What Afilnet lists, and its clock in the answer; `undefined` where the time zone is not known. */
  afilnet: { rows: ConversationRow[]; date?: string | undefined; fails?: boolean; tookMs?: number; reads: number }
  readBack: ReadBack
  /** Records a send that began now, and how it ended half a second later. */
  sent: (text: string, state?: Outcome['state'] | 'pending', over?: Partial<NewSend>) => Promise<NewSend>
}

const test = base.extend<Here>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  clock: async ({}, use) => use({ ms: start }),
  store: async ({ clock }, use) => {
    const store = await openStore('sqlite::memory:', { ...policy, now: () => clock.ms, monotonic: () => clock.ms })
    await use(store)
    await store.close()
  },
  secret: async ({ store }, use) => use(createSecretKey(await store.secret())),
  afilnet: async ({ clock }, use) => use({ rows: [], date: new Date(clock.ms).toUTCString(), reads: 0 }),
  readBack: async ({ store, secret, clock, afilnet }, use) => {
    const read = async (): Promise<Listed> => {
      afilnet.reads++
      if (afilnet.fails) throw new Error('away')
      return { rows: afilnet.rows, beganAt: start, endedAt: start + (afilnet.tookMs ?? 0), date: afilnet.date }
    }
    await use(new ReadBack({ store, secret: async () => secret, accounts: () => ['main'], read, now: () => clock.ms }))
  },
  sent: async ({ store, secret, clock }, use) => {
    let made = 0
    await use(async (text, state = 'unknown', over = {}) => {
      const id = `${clock.ms
        .toString(16)
        .padStart(12, '0')
        .replace(/^(.{8})/, '$1-')}-7000-8000-${String(++made).padStart(12, '0')}`
      const row = send({ id, textDigest: textDigest(text, secret), createdAt: clock.ms, ...over })
      await store.claim(row)
      if (state !== 'pending') await store.settle(row, ended(state, clock.ms + 500))
      return row
    })
  },
})

let ids = 1_000
const row = (text: string, over: Partial<ConversationRow> = {}): ConversationRow => ({
  messageId: String(++ids),
  out: true,
  text,
  status: 'SENT',
  timestamp: at(3_000),
  ...over,
})

/** Looks as often as is due in the next eleven minutes. */
async function lookUp({ clock, readBack }: Pick<Here, 'clock' | 'readBack'>) {
  for (const ms of [2_500, 10_500, 60_500, 600_500]) {
    clock.ms = start + ms
    await readBack.lookUp()
  }
}
const find = (store: Store, { id }: NewSend) => store.find(crm, id)

describe('An unknown send, where the time zone is known', () => {
  test('is accepted if one new row has its text', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent(' Ol\u0065\u0301\nHello ')
    afilnet.rows = [row('Ol\u00e9\r\nHello', { messageId: '7' }), row('Another'), row('Ol\u00e9\nHello', { out: false })]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'accepted', settledBy: 'read-back', answer: '' })
    expect(await find(store, unknown)).toMatchObject({ messageId: '7', deliveryStatus: 'SENT', deliveryAt: start + 2_500 })
    expect(afilnet.reads, 'it is known after the first look').toBe(1)
  })

  test('is looked for after 2, 10, 60 and 600 seconds, and proves nothing by its absence', async ({
    store,
    clock,
    readBack,
    afilnet,
    sent,
  }) => {
    const unknown = await sent('Hello')
    const looks: number[] = []
    for (const ms of [2_000, 10_000, 60_000, 600_000].flatMap(ms => [ms - 1, ms, ms + 1])) {
      clock.ms = start + 500 + ms
      const before = afilnet.reads
      await readBack.lookUp()
      if (afilnet.reads > before) looks.push(ms)
    }

    expect(looks).toEqual([2_000, 10_000, 60_000, 600_000])
    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test.for<[string, Partial<ConversationRow>, (string | undefined)?]>([
    ['it may have been there before the send', { timestamp: at(1_999) }],
    ['its local time is ambiguous', { timestamp: undefined }],
    ['nobody knows who wrote it', { out: null }],
    ['Afilnet does not show its clock', {}, undefined],
    ['it is older by the clock of Afilnet, which is ahead', {}, new Date(start + 60_000).toUTCString()],
  ])('stays unknown if %s', async ([, over, ...date], { store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent('Hello')
    afilnet.rows = [row('Hello', over)]
    if (date.length > 0) afilnet.date = date[0]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
    expect(await find(store, unknown)).not.toHaveProperty('messageId')
  })

  test('stays unknown if a row comes from the future, so that the time zone is wrong', async ({
    store,
    clock,
    readBack,
    afilnet,
    sent,
  }) => {
    const unknown = await sent('Hello')
    afilnet.rows = [row('Hello'), row('Another', { out: false, timestamp: at(3_600_000) })]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test('is accepted by a row that is later by the clock of Afilnet, which is behind', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent('Hello')
    afilnet.date = new Date(start - 60_000).toUTCString()
    afilnet.rows = [row('Hello', { timestamp: at(-58_000) })]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'accepted' })
  })

  test('stays unknown if a later send with its text may be the row, as far as a slow answer tells its time', async ({
    store,
    clock,
    readBack,
    afilnet,
    sent,
  }) => {
    const unknown = await sent('Hello')
    clock.ms = start + 9_000
    await sent('Hello', 'accepted')
    Object.assign(afilnet, { date: new Date(start + 6_000).toUTCString(), tookMs: 6_000, rows: [row('Hello', { timestamp: at(9_000) })] })
    clock.ms = start + 10_500
    await readBack.lookUp()

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test('stays unknown if two rows or two sends have its text', async ({ store, clock, readBack, afilnet, sent }) => {
    const [one, other, twice] = [await sent('Hello'), await sent('Hello', 'unknown', { caller: 'shop' }), await sent('Twice')]
    afilnet.rows = [row('Hello'), row('Twice'), row('Twice', { timestamp: at(5_000) })]
    await lookUp({ clock, readBack })

    expect(await find(store, one)).toMatchObject({ state: 'unknown' })
    expect(await store.find({ ...crm, caller: 'shop' }, other.id)).toMatchObject({ state: 'unknown' })
    expect(await find(store, twice)).toMatchObject({ state: 'unknown' })
  })

  test('is accepted once the other send with its text was refused', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent('Hello')
    await sent('Hello', 'rejected')
    afilnet.rows = [row('Hello')]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'accepted' })
  })

  test('stays unknown beside a send of a release that kept no digest', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent('Hello')
    const { textDigest: _, ...older } = send({ id: `${unknown.id.slice(0, -1)}9`, createdAt: start })
    await store.claim(older)
    afilnet.rows = [row('Hello')]
    await lookUp({ clock, readBack })

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test('is looked for again if its conversation could not be read', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = await sent('Hello')
    afilnet.rows = [row('Hello')]
    afilnet.fails = true
    clock.ms = start + 2_500
    await readBack.lookUp()
    afilnet.fails = false
    clock.ms = start + 10_500
    await readBack.lookUp()

    expect([await find(store, unknown), afilnet.reads]).toMatchObject([{ state: 'accepted' }, 2])
  })

  test('is looked for in its own conversation beside those of others', async ({ store, clock, readBack, afilnet, sent }) => {
    const unknown = [await sent('Hello'), await sent('Bye', 'unknown', { destination: '34600000001' })]
    afilnet.rows = [row('Hello'), row('Bye')]
    clock.ms = start + 2_500
    await readBack.lookUp()

    for (const send of unknown) expect(await find(store, send)).toMatchObject({ state: 'accepted' })
    expect(afilnet.reads).toBe(2)
  })

  test('is not looked for if it is a file', async ({ clock, readBack, afilnet, sent }) => {
    await sent('Hello', 'unknown', { kind: 'file' })
    await lookUp({ clock, readBack })

    expect(afilnet.reads).toBe(0)
  })
})

describe('A conversation that is watched', () => {
  /** The poller has read it: the rows are new since the start. */
  const watched = (
    readBack: ReadBack,
    clock: { ms: number },
    rows: ConversationRow[],
    { isNew = true, ...over }: { isNew?: boolean; absentAt?: number | undefined } = {},
  ) => {
    const read = rows.map(listed => ({ ...listed, isNew, statusChanged: !isNew }))
    return readBack.conversationRead({ ...chat, rows: read, absentAt: start - 1_000, beganAt: clock.ms, at: clock.ms, ...over })
  }

  test('gives accepted sends their message and each word for its delivery', async ({ store, clock, readBack, sent }) => {
    const accepted = await sent('Hello', 'accepted')
    clock.ms += 1_000
    const listed = row('Hello', { messageId: '7', timestamp: undefined })
    await watched(readBack, clock, [listed, row('Hello', { out: false })])
    expect(await find(store, accepted)).toMatchObject({
      messageId: '7',
      deliveryStatus: 'SENT',
      deliveryAt: clock.ms,
      settledAt: start + 500,
    })
    clock.ms += 1_000
    await watched(readBack, clock, [{ ...listed, status: 'READ' }], { isNew: false })

    expect(await find(store, accepted)).toMatchObject({ state: 'accepted', deliveryStatus: 'READ', deliveryAt: clock.ms })
  })

  test('settles an unknown send', async ({ store, clock, readBack, sent }) => {
    const unknown = await sent('Hello')
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello', { messageId: '7' })])

    expect(await find(store, unknown)).toMatchObject({ state: 'accepted', settledBy: 'read-back', messageId: '7' })
  })

  test('gives an unknown send its message and leaves it unknown, where unknown sends are not looked for', async ({
    store,
    secret,
    clock,
    sent,
  }) => {
    const read = async () => undefined
    const quiet = new ReadBack({ store, secret: async () => secret, accounts: () => [], read, settles: false, now: () => clock.ms })
    const unknown = await sent('Hello')
    clock.ms += 1_000
    await watched(quiet, clock, [row('Hello', { messageId: '7' })])

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown', messageId: '7' })
  })

  test('settles a send that was still running when its row was seen, once it is unknown', async ({
    store,
    clock,
    readBack,
    afilnet,
    sent,
  }) => {
    const running = await sent('Hello', 'pending')
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello', { messageId: '7' })])
    expect(await find(store, running)).toMatchObject({ state: 'pending', messageId: '7' })
    await store.settle(running, ended('unknown', clock.ms))
    clock.ms += 2_000
    afilnet.rows = []
    await readBack.lookUp()

    expect(await find(store, running)).toMatchObject({ state: 'accepted', settledBy: 'read-back' })
  })

  test('settles one of two sends once the other has its end', async ({ store, clock, readBack, sent }) => {
    const [unknown, running] = [await sent('Hello'), await sent('Hello', 'pending')]
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello')])
    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
    await store.settle(running, ended('not_sent', clock.ms))
    clock.ms += 2_000
    await readBack.lookUp()

    expect(await find(store, unknown)).toMatchObject({ state: 'accepted' })
  })

  test('proves nothing if it is not known what was there before, or if the row was seen before the send', async ({
    store,
    clock,
    readBack,
    sent,
  }) => {
    await watched(readBack, clock, [row('Later')])
    clock.ms += 1_000
    const sends = [await sent('Hello'), await sent('Later')]
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello')], { absentAt: undefined })

    for (const one of sends) expect(await find(store, one)).toMatchObject({ state: 'unknown' })
  })

  test('proves nothing for a later send, although its row is told again', async ({ store, clock, readBack, sent }) => {
    const listed = row('Hello')
    await watched(readBack, clock, [listed])
    clock.ms += 1_000
    const later = await sent('Hello')
    clock.ms += 1_000
    await watched(readBack, clock, [listed])

    expect(await find(store, later)).toMatchObject({ state: 'unknown' })
  })

  test('proves nothing if an earlier send has the text, since Afilnet may show its row late', async ({ store, clock, readBack, sent }) => {
    const earlier = await sent('Hello', 'accepted')
    clock.ms += 12_000
    const unknown = await sent('Hello')
    clock.ms += 3_000
    await watched(readBack, clock, [row('Hello')], { absentAt: start + 10_000 })

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
    for (const one of [earlier, unknown]) expect(await find(store, one)).not.toHaveProperty('messageId')
  })

  test('proves nothing by a look before that is later than this one: the clock was set back', async ({ store, clock, readBack, sent }) => {
    await sent('Hello', 'accepted')
    clock.ms += 1_000
    const unknown = await sent('Hello')
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello')], { absentAt: start + 3_600_000 })

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test('proves nothing beside a thousand sends, of which the ledger does not give all', async ({ store, clock, readBack, sent }) => {
    await sent('Hello', 'accepted')
    clock.ms += 1
    await Promise.all(Array.from({ length: 999 }, () => sent('Another', 'accepted')))
    clock.ms += 1
    const unknown = await sent('Hello')
    clock.ms += 1_000
    await watched(readBack, clock, [row('Hello')])

    expect(await find(store, unknown)).toMatchObject({ state: 'unknown' })
  })

  test('is read again while a send of the last hour waits for its delivery', async ({ store, clock, readBack, sent }) => {
    const [first, second] = [await sent('Hello', 'accepted'), await sent('Another', 'accepted')]
    await sent('Hello', 'rejected', { destination: '34600000001' })
    const { destination, platform, platformId } = chat
    expect(await readBack.undelivered('main')).toEqual([{ platform, platformId, destination }])
    await store.note(first, { messageId: '7', deliveryStatus: 'READ', deliveryAt: clock.ms })
    await store.note(second, { messageId: '8', deliveryStatus: ' Failed ', deliveryAt: clock.ms })
    expect(await readBack.undelivered('main')).toEqual([])
    await sent('Again', 'accepted')
    clock.ms += 3_601_000

    expect(await readBack.undelivered('main')).toEqual([])
  })

  test('is read no longer than that after a clock that was ahead was set back', async ({ clock, readBack, sent }) => {
    const day = 86_400_000
    clock.ms += day
    await sent('While it was ahead', 'accepted')
    await sent('Later, with an id of that time', 'accepted', { createdAt: start - 3_601_000 })
    clock.ms -= day

    expect(await readBack.undelivered('main')).toEqual([])
  })
})
