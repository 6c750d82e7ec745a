import { test as base, expect, vi } from 'vitest'
import type { Observe } from '../../src/events.ts'
import type { EventStore, NewEvent } from '../../src/store/event-log.ts'
import { openSqlite } from '../../src/store/sqlite/sqlite.ts'
import type { Clock, EventReader, WebhookConfig } from '../../src/webhooks/ports.ts'
import { Webhooks } from '../../src/webhooks/webhooks.ts'
import { policy } from '../store/sends.ts'
import { secret, startReceiver } from './receiver.ts'

/** A clock that a test moves; what was to run later runs then. */
export function createTestClock() {
  let ms = Date.now() // the signature's age is checked against the real one
  let ticks = 0
  const timers = new Set<{ at: number; run: () => void }>()
  const clock = {
    now: () => ms,
    monotonic: () => (ticks += 1e-6), // no lease runs out by itself, however slow the machine is
    random: () => 0.5,
    after(delay: number, run: () => void) {
      const timer = { at: ms + delay, run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance(by: number) {
      const until = ms + by
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
        if (!next) break
        timers.delete(next)
        ms = Math.max(ms, next.at)
        next.run()
      }
      ms = until
    },
    /** The wall clock is set; what was to run later still runs after the same time. */
    jump(by: number) {
      ms += by
      for (const timer of timers) timer.at += by
    },
  }
  return clock satisfies Clock
}

/** The text of an event is not what these tests are about. */
export const reader: EventReader = {
  idOf: (_account, identity, position, isMade) => `${identity}.${position}${isMade ? '.' : ''}`,
  readCursor(_account, cursor) {
    const [, identity = '', position] = /^([\w-]+)\.(\d+)$/.exec(cursor) ?? []
    return position === undefined ? undefined : { identity, position: Number(position) }
  },
  render: async (_webhook, id, { type, messageId, reason }) =>
    JSON.stringify({ id, type, messageId, ...(reason !== undefined && { reason }) }),
}

type Receiver = Awaited<ReturnType<typeof startReceiver>>
type Fixtures = {
  receiver: Receiver
  clock: ReturnType<typeof createTestClock>
  /** The store's own time, which stands until a test moves it. */
  storeTime: { ms: number }
  live: EventStore
  /** Appends messages: `a1` is the first of conversation `a`. */
  append: (...messages: string[]) => Promise<number[]>
  start: (
    over?: Partial<WebhookConfig>,
    more?: { timeoutMs?: number; reader?: EventReader; clock?: Clock; observe?: Observe },
  ) => Promise<Webhooks>
  webhooks: Webhooks
}

export const message = (messageId: string, over: Partial<NewEvent> = {}): NewEvent => ({
  type: 'message.created',
  at: Date.now(),
  platform: 'whatsapp',
  platformId: '100',
  destination: messageId.replace(/\d+$/, ''),
  messageId,
  direction: 'in',
  ...over,
})

/** A receiver, a log in memory and a webhook between them, whose time a test moves. */
export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  receiver: async ({}, use) => {
    const receiver = await startReceiver()
    await use(receiver)
    await receiver.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  clock: async ({}, use) => use(createTestClock()),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  storeTime: async ({}, use) => use({ ms: Date.now() }),
  live: async ({ storeTime }, use) => {
    const store = await openSqlite({ ...policy, path: ':memory:', now: () => storeTime.ms, monotonic: () => storeTime.ms })
    await store.log.open('main')
    await use(store)
    await store.close()
  },
  append: ({ live }, use) => use(async (...messages) => (await live.log.append('main', { events: messages.map(id => message(id)) })) ?? []),
  start: async ({ receiver, clock, live }, use) => {
    const started: Webhooks[] = []
    await use(async (over = {}, more = {}) => {
      const webhook = { url: new URL(receiver.url), secrets: [secret], account: 'main', ...over }
      const webhooks = new Webhooks({ webhooks: { crm: webhook }, store: live, reader, clock, timeoutMs: 60_000, ...more })
      started.push(webhooks)
      await vi.waitFor(() => expect(webhooks.report()).toHaveLength(1), { interval: 5, timeout: 40_000 })
      return webhooks
    })
    for (const webhooks of started) await webhooks.stop()
  },
  webhooks: async ({ start }, use) => use(await start()),
})

/** Waits, in real time, for what the test expects. */
export const eventually = (expectation: () => unknown) => vi.waitFor(expectation, { interval: 5, timeout: 40_000 })

type TestClock = ReturnType<typeof createTestClock>

/** Moves the clock until the receiver has taken these messages. */
export const takes = (receiver: Pick<Receiver, 'taken'>, clock: TestClock, ...ids: string[]) =>
  eventually(() => {
    clock.advance(500)
    expect(receiver.taken).toEqual(ids)
  })

/** Moves the clock until no event waits or has failed. */
export const nothingPending = (webhooks: Webhooks, clock: TestClock) =>
  eventually(async () => {
    clock.advance(200)
    expect((await webhooks.deliveries('main', 'crm', { limit: 10 })).items).toEqual([])
  })

/** Waits until the webhook has nothing to do until its clock moves: several turns of the store go by without a post. */
export async function settled({ posts }: Pick<Receiver, 'posts'>, live: EventStore) {
  for (let [quiet, before] = [0, posts.length]; quiet < 5; before = posts.length) {
    await live.log.read('main', 0, 1)
    await new Promise(resolve => setTimeout(resolve, 10))
    quiet = posts.length === before ? quiet + 1 : 0
  }
}
