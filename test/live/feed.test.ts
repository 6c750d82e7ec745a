import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Feed } from '../../src/live/feed.ts'
import { Texts } from '../../src/live/texts.ts'
import type { EventLog } from '../../src/store/event-log.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'

const mark = { identity: 'identity', trimmed: 0, last: 0 }

/** A feed whose log answers each read when the test says so. */
async function start() {
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
  const texts = new Texts({ read: async () => ({ items: [], digest: '', beganAt: 0, endedAt: 0 }), secret: async () => new Uint8Array() })
  const feed = new Feed({ account: 'main', log, texts, describeSend: row => row, onNews() {}, onReplaced: () => replaced.push('replaced') })
  await feed.open()
  appended()
  return { feed, reads, replaced }
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
})
