import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Feed } from '../../src/live/feed.ts'
import type { List, Message } from '../../src/live/ports.ts'
import { Texts } from '../../src/live/texts.ts'
import type { EventLog } from '../../src/store/event-log.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'
import { created, message } from './delivery.ts'

const mark = { identity: 'identity', trimmed: 0, last: 0 }

/** A feed whose log answers each read when the test says so. */
async function start(items: Message[] = []) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const reads: PromiseWithResolvers<Awaited<ReturnType<EventLog['read']>>>[] = []
  const replaced: string[] = []
  let appended = () => {}
  const log = {
    open: async () => mark,
    read() {
      const read = Promise.withResolvers<Awaited<ReturnType<EventLog['read']>>>()
      reads.push(read)
      return read.promise
    },
    watch(_: unknown, onNews: (account: string) => void) {
      appended = () => onNews('main')
      return () => {}
    },
  } as Partial<EventLog> as EventLog // all that a feed asks of a log
  const texts = new Texts({ read: async () => ({ items, digest: '', beganAt: 0, endedAt: 0 }), secret: async () => new Uint8Array() })
  const feed = new Feed({ account: 'main', log, texts, describeSend: row => row, onNews() {}, onReplaced: () => replaced.push('replaced') })
  await feed.open()
  appended()
  return { feed, reads, replaced, append: () => appended() }
}

describe('A feed', () => {
  afterEach(() => void vi.useRealTimers())

  test('reads again after a second when the store is away', async () => {
    const { reads } = await start()
    reads[0]?.reject(new StoreUnavailableError('away'))
    await vi.advanceTimersByTimeAsync(1_000)

    expect(reads).toHaveLength(2)
  })

  test('that was closed during a read does not read again', async () => {
    const { feed, reads } = await start()
    feed.close()
    reads[0]?.reject(new StoreUnavailableError('away'))
    await vi.advanceTimersByTimeAsync(10_000)

    expect(reads).toHaveLength(1)
  })

  test('that was closed during a read says nothing of a log that was replaced meanwhile', async () => {
    const { feed, reads, replaced } = await start()
    feed.close()
    reads[0]?.resolve({ mark: { ...mark, identity: 'another' }, events: [] })
    await turn()

    expect(replaced).toEqual([])
  })

  test('has its newest thousand events in memory, and says where there are older ones', async () => {
    const { feed, reads } = await start()
    const page = (from: number) => Array.from({ length: 200 }, (_, n) => ({ ...created('1'), position: from + n + 1 }))
    for (let n = 0; n < 6; n++) {
      reads[n]?.resolve({ mark: { ...mark, last: 1_200 }, events: page(200 * n) })
      await turn()
    }

    expect([feed.last, feed.after(199)]).toEqual([1_200, undefined])
    expect(feed.after(200)?.map(({ event }) => event.position)).toEqual(Array.from({ length: 1_000 }, (_, n) => n + 201))
  })

  test('has fewer of them in memory when their texts are long', async () => {
    const { feed, reads, append } = await start([message('1', 'x'.repeat(1_048_576))])
    const events = Array.from({ length: 10 }, (_, n) => ({ ...created('1'), position: n + 1 }))
    reads[0]?.resolve({ mark: { ...mark, last: 10 }, events })
    await turn()
    for (const entry of feed.after(0) ?? []) await feed.write(entry)

    append()
    reads[1]?.resolve({ mark: { ...mark, last: 11 }, events: [{ ...created('1'), position: 11 }] })
    await turn()

    expect(feed.after(6)).toBe(undefined)
    expect(feed.after(7)?.map(({ event }) => event.position)).toEqual([8, 9, 10, 11])
  })
})

test.for(['fails', 'comes'])('The text of an event is not one that was asked for before it, whether that %s', async how => {
  const reads: PromiseWithResolvers<List<Message>>[] = []
  function read() {
    const reading = Promise.withResolvers<List<Message>>()
    reads.push(reading)
    return reading.promise
  }
  const texts = new Texts({ read, secret: async () => new Uint8Array() })
  const listOf = (text: string) => ({ items: [message('1', text)], digest: '', beganAt: 0, endedAt: 0 })
  const first = texts.find('main', created('1'), performance.now())
  const second = texts.find('main', created('1'), performance.now() + 1)
  if (how === 'comes') reads[0]?.resolve(listOf('old'))
  else reads[0]?.reject(new Error('away'))
  await Promise.allSettled([first])
  await vi.waitUntil(() => reads.length > 1, { timeout: 40_000 })
  reads[1]?.resolve(listOf('new'))

  expect(await second).toMatchObject({ message: 'new' })
})

test('What Afilnet does not list any more has its share of the room for texts, too', async () => {
  let reads = 0
  const read = async () => ({ items: [], digest: '', beganAt: 0, endedAt: 0, number: ++reads })
  const texts = new Texts({ read, secret: async () => new Uint8Array() })
  const find = (n: number) => texts.find('main', created('1', { destination: String(n) }), 0)
  for (let n = 0; n < 15_000; n++) await find(n)
  expect(await find(14_999)).toBe(null)
  expect(reads, 'the last one was remembered').toBe(15_000)

  await find(0)

  expect(reads, 'the first one made room').toBe(15_001)
})
