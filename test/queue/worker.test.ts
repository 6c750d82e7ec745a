import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test as base, describe, expect, onTestFinished, vi } from 'vitest'
import { Problem } from '../../src/problem/problem.ts'
import { createSealer } from '../../src/queue/seal.ts'
import { QueueWorker } from '../../src/queue/worker.ts'
import type { SendAttempt } from '../../src/sends/attempt.ts'
import { Sends } from '../../src/sends/sends.ts'
import type { OpenedStore } from '../../src/store/adapter.ts'
import { openSqlite } from '../../src/store/sqlite/sqlite.ts'
import { type Store, StoreUnavailableError } from '../../src/store/store.ts'
import { crm, policy } from '../store/sends.ts'

const never: SendAttempt = { admit() {}, run: async () => {} }
const sealerOf = (...keys: number[]) => createSealer(keys.map(key => Buffer.alloc(32, key)))
const eventually = (expectation: () => unknown) => vi.waitFor(expectation, { interval: 5, timeout: 40_000 })

/** A message that the transport of its account cannot carry any more. */
const tooLong = 'too long'

type Fixtures = {
  /** Verbs whose next answers are lost: the store has done what was asked. */
  lost: Map<keyof Store, number>
  /** Where the ledger is, and how long it waits for another process. */
  place: { path: string; busyMs?: number }
  store: OpenedStore
  sent: string[]
  /** How long the worker waits for the store. */
  patience: { timeoutMs?: number }
  /** Starts a worker with these keys. */
  work: (...keys: number[]) => QueueWorker
  /** Answers that Afilnet gives to the next attempts, instead of taking them. */
  refusals: (Problem | Promise<Problem>)[]
  sends: Sends
  queue: (message: string, key?: number, forMs?: number) => Promise<string>
}
const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  lost: async ({}, use) => use(new Map()),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  place: async ({}, use) => use({ path: ':memory:' }),
  store: async ({ lost, place }, use) => {
    const store = await openSqlite({ ...policy, ...place })
    const losing = <A extends unknown[], R>(name: keyof Store, verb: (...args: A) => Promise<R>) =>
      async function losingVerb(...args: A) {
        const answer = await verb(...args)
        const left = lost.get(name) ?? 0
        lost.set(name, left - 1)
        if (left > 0) throw new StoreUnavailableError('io')
        return answer
      }
    await use({
      ...store,
      claim: losing('claim', store.claim),
      takeDue: losing('takeDue', store.takeDue),
      settle: losing('settle', store.settle),
      requeue: losing('requeue', store.requeue),
    })
    await store.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  refusals: async ({}, use) => use([]),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  sent: async ({}, use) => use([]),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  patience: async ({}, use) => use({}),
  sends: async ({ store }, use) => {
    const sends = new Sends({ store, base: '', claimMs: 60_000 })
    await use(sends)
    await sends.stop()
  },
  work: async ({ patience, refusals, sends, sent, store }, use) => {
    const workers: QueueWorker[] = []
    sends.queue.onQueued = () => workers.forEach(worker => void worker.wake())
    await use((...keys) => {
      const worker = new QueueWorker({
        ...patience,
        store,
        sealer: sealerOf(...keys),
        sends: sends.queue,
        prepare(_row, { message = '' }) {
          if (message === tooLong) throw new Problem('payload-too-large')
          const run = async () => {
            const refusal = await refusals.shift()
            if (refusal) throw refusal
            sent.push(message)
          }
          return { ...never, run }
        },
        onKeysLost: () => {},
        onExpired: () => {},
      })
      worker.wake()
      workers.push(worker)
      return worker
    })
    for (const worker of workers) worker.stop()
  },
  queue: ({ sends }, use) =>
    use(async (message, key = 7, forMs = 60_000) => {
      const seal = (id: string) => sealerOf(key).seal(id, JSON.stringify({ message }))
      const now = Date.now()
      const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
      const request = {
        ...crm,
        ...chat,
        user: 'ops@example.com',
        kind: 'message' as const,
        body: { message },
        requestId: 'r',
        attempt: never,
      }
      return (await sends.run({ ...request, queue: { dueAt: now, expiresAt: now + forMs, seal } })).send.id
    }),
})

/** Counts how often the worker has looked for what it was given. */
function countLooks(store: Store) {
  const { pendingOf } = store
  const looks = { count: 0 }
  store.pendingOf = async owner => {
    const found = await pendingOf(owner)
    looks.count++
    return found
  }
  return looks
}

/** With a ledger in a file, which hangs for as long as another process writes. */
const testOfFile = test.extend<Pick<Fixtures, 'place'>>({
  // biome-ignore lint/correctness/noEmptyPattern: as above
  place: async ({}, use) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'gateway-queue-'))
    await use({ path: join(folder.path, 'ledger.sqlite'), busyMs: 60_000 })
  },
})

describe('A queue whose store loses an answer', () => {
  test('sends what was given and never arrived, once', async ({ lost, queue, sends, sent, work }) => {
    work(7)
    lost.set('takeDue', 3)
    const ids = [await queue('first'), await queue('second')]

    await eventually(async () => expect((await sends.find(crm, ids[1] ?? '')).state).toBe('accepted'))
    expect(sent).toEqual(['first', 'second'])
  })

  test('sends what the store gives after the worker has stopped waiting and looked', async ({
    patience,
    queue,
    sends,
    sent,
    store,
    work,
  }) => {
    const { takeDue } = store
    const slow = Promise.withResolvers<void>()
    let calls = 0
    const looks = countLooks(store)
    store.takeDue = async (...args) => {
      if (++calls > 1) return { due: [], expired: [] }
      await slow.promise
      Object.assign(store, { takeDue })
      return takeDue(...args)
    }
    patience.timeoutMs = 300
    work(7)
    await eventually(() => expect(looks.count).toBeGreaterThan(0))
    const id = await queue('first')
    slow.resolve()

    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
    expect(sent).toEqual(['first'])
  })

  testOfFile(
    'sends what a ledger that hangs gives after the worker was refused and has looked',
    async ({ place, queue, sends, sent, store, work }) => {
      const { takeDue } = store
      const other = new DatabaseSync(place.path, { timeout: 1_000 })
      const looks = countLooks(store)
      store.takeDue = (...args) => {
        other.exec('BEGIN IMMEDIATE')
        Object.assign(store, { takeDue })
        return takeDue(...args)
      }
      const id = await queue('first')
      work(7)
      await eventually(() => expect(looks.count).toBeGreaterThan(1))
      other.close()

      await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
      expect(sent).toEqual(['first'])
    },
  )

  test('sends nothing again that began later, and whose end a failover has lost', async ({ lost, queue, sends, sent, store, work }) => {
    const asked = () => 1 - (lost.get('takeDue') ?? 0)
    store.settle = async () => ({ settled: true })
    lost.set('takeDue', 1)
    work(7)
    await eventually(() => expect(asked()).toBe(1))
    const id = await queue('first')
    await eventually(() => expect(sent).toEqual(['first']))
    const before = asked()
    await eventually(() => expect(asked()).toBeGreaterThan(before + 2))

    expect((await sends.find(crm, id)).state).toBe('pending')
    expect(sent).toEqual(['first'])
  })

  test('sends nothing again whose end it has yet to hear', async ({ lost, queue, sends, sent, work }) => {
    work(7)
    lost.set('settle', 3)
    const id = await queue('first')
    await eventually(() => expect(sent).toEqual(['first']))
    lost.set('takeDue', 3)
    await queue('second')

    await eventually(() => expect(sent).toEqual(['first', 'second']))
    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
    expect(sent).toEqual(['first', 'second'])
  })
})

describe('A queue that hands a send out again', () => {
  test('sends it, although the answer is lost while the end of the attempt before has yet to be heard', async ({
    lost,
    queue,
    refusals,
    sends,
    sent,
    store,
    work,
  }) => {
    const { takeDue } = store
    let handedOut = 0
    const looks = countLooks(store)
    store.takeDue = async (...args) => {
      const answer = await takeDue(...args)
      if (answer.due.length > 0 && ++handedOut === 2) throw new StoreUnavailableError('io')
      return answer
    }
    refusals.push(new Problem('upstream-unreachable'))
    lost.set('requeue', Number.POSITIVE_INFINITY)
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    work(7)
    const id = await queue('first')
    await eventually(() => expect(looks.count).toBeGreaterThan(0))
    lost.delete('requeue')
    vi.advanceTimersByTime(10_000) // for so long the end of the attempt before is offered

    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
    expect(sent).toEqual(['first'])
  })

  test('queues it again in the right ledger, after another one was in its place for a while', async ({
    queue,
    refusals,
    sends,
    sent,
    store,
    work,
  }) => {
    const { find, requeue } = store
    store.requeue = async () => false
    store.find = async () => {
      Object.assign(store, { find, requeue }) // the right one is back
      return undefined
    }
    refusals.push(new Problem('upstream-unreachable'))
    work(7)
    const id = await queue('first')

    await eventually(() => expect(sent).toEqual(['first']))
    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
  })

  test('records that its end is unknown, although the request to queue it again is still offered', async ({
    lost,
    queue,
    refusals,
    sends,
    store,
    work,
  }) => {
    const { settle } = store
    store.settle = async () => {
      Object.assign(store, { settle })
      throw new StoreUnavailableError('io')
    }
    refusals.push(new Problem('upstream-unreachable'), new Problem('upstream-timeout', { outcome: 'unknown' }))
    lost.set('requeue', 40)
    work(7)
    const id = await queue('first')

    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('unknown'))
  })

  test('does not send it after its time, however late the answer comes', async ({ queue, sends, sent, store, work }) => {
    const { takeDue } = store
    store.takeDue = async (...args) => {
      const answer = await takeDue(...args)
      if (answer.due.length > 0) {
        const { expiresAt = 0 } = answer.due[0]?.row ?? {}
        await eventually(() => expect(Date.now()).toBeGreaterThan(expiresAt))
      }
      return answer
    }
    work(7)
    const id = await queue('late', 7, 1_000)

    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('expired'))
    expect(sent).toEqual([])
  })
})

describe('A queue that took a send without a word to its caller', () => {
  test('takes it back, and never sends it', async ({ lost, queue, sends, sent, store, work }) => {
    work(7)
    lost.set('claim', 1)
    await expect(queue('first')).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'not_applied' })
    const second = await queue('second')

    await eventually(async () => expect((await sends.find(crm, second)).state).toBe('accepted'))
    expect(sent).toEqual(['second'])
    expect((await store.list(crm, { limit: 9 })).map(({ state }) => ({ state }))).toMatchObject([
      { state: 'accepted' },
      { state: 'not_sent' },
    ])
  })
})

describe('A queue that attempts a send of which its caller was told that nothing is sent', () => {
  test('takes it back, although the store loses the request to queue it again', async ({ lost, queue, refusals, sent, store, work }) => {
    const { claim } = store
    const refusal = Promise.withResolvers<Problem>()
    refusals.push(refusal.promise)
    store.claim = async (...args) => {
      await claim(...args)
      await eventually(() => expect(refusals).toEqual([])) // it is being attempted
      throw new StoreUnavailableError('io')
    }
    lost.set('requeue', 2)
    work(7)
    await expect(queue('first')).rejects.toMatchObject({ code: 'store-unavailable' })
    refusal.resolve(new Problem('upstream-unreachable'))

    await eventually(async () => expect((await store.list(crm, { limit: 9 })).map(({ state }) => state)).toEqual(['not_sent']))
    expect(sent).toEqual([])
  })
})

describe('A queue that took a send without a word to its caller, and lost the answer that handed it out', () => {
  test('takes it back all the same', async ({ lost, queue, sent, store, work }) => {
    const worker = work(7)
    await eventually(() => expect(lost.get('takeDue')).toBeLessThan(0))
    lost.set('claim', 1)
    lost.set('takeDue', 1)
    await expect(queue('first')).rejects.toMatchObject({ code: 'store-unavailable' })
    worker.wake()

    await eventually(async () => expect((await store.list(crm, { limit: 9 })).map(({ state }) => state)).toEqual(['not_sent']))
    expect(sent).toEqual([])
  })
})

test('A body opens with its key, and for the send that it was encrypted for', () => {
  const sealed = sealerOf(7).seal('one', 'Hello')
  const sealer = sealerOf(8, 7)

  expect(sealer.open('one', sealed)).toBe('Hello')
  const others = [sealer.open('two', sealed), sealerOf(8).open('one', sealed), sealer.open('one', sealed.slice(0, 30))]
  expect(others).toEqual([undefined, undefined, undefined])
})

test('A queue gives the place of each send that has ended to the next one, however many there are', async ({ queue, sent, work }) => {
  work(7)
  const messages = Array.from({ length: 150 }, (_, n) => `${n}`) // there are 128 places
  for (const message of messages) await queue(message)

  await eventually(() => expect(sent).toEqual(messages))
})

test('A send that cannot be attempted any more ends as refused, and the next one goes', async ({ queue, sends, sent, work }) => {
  work(7)
  const id = await queue(tooLong)
  await queue('next')

  await eventually(() => expect(sent).toEqual(['next']))
  expect(await sends.find(crm, id)).toMatchObject({ state: 'rejected', problem: { code: 'payload-too-large' } })
})

test('Each step of a queued send is in the event log', async ({ queue, refusals, store, work }) => {
  await store.log.open('main')
  refusals.push(new Problem('upstream-unreachable'))
  work(7)
  await queue('first')

  const states = async () => (await store.log.read('main', 0, 9)).events.map(({ send = '' }) => JSON.parse(send).state)
  await eventually(async () => expect(await states()).toEqual(['pending', 'queued', 'pending', 'accepted']))
})

describe('A queue whose key is being changed', () => {
  test('leaves what it cannot read to a process with the new key', async ({ queue, sends, sent, work }) => {
    const old = work(7)
    await queue('old')
    await eventually(() => expect(sent).toEqual(['old']))
    const id = await queue('new', 8)
    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('queued'))
    work(8, 7)
    old.stop()

    await eventually(async () => expect((await sends.find(crm, id)).state).toBe('accepted'))
    expect(sent).toEqual(['old', 'new'])
  })
})
