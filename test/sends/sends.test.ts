import { createSecretKey } from 'node:crypto'
import { test as base, describe, expect } from 'vitest'
import { failures, faults, UpstreamError } from '../../src/afilnet/faults.ts'
import { Problem } from '../../src/problem/problem.ts'
import type { SendAttempt } from '../../src/sends/attempt.ts'
import { newSend, type SendRequest } from '../../src/sends/request.ts'
import { Sends } from '../../src/sends/sends.ts'
import type { OpenedStore } from '../../src/store/adapter.ts'
import { openStore } from '../../src/store/open.ts'
import { type Archive, type SendRow, type Store, StoreUnavailableError } from '../../src/store/store.ts'
import { crm, ended, policy, send } from '../store/sends.ts'

type Here = {
  store: OpenedStore
  /** Verbs that replace those of the store until they are deleted. */
  trouble: Partial<Store>
  /** The verbs that were called. */
  asked: string[]
  timeoutMs: number
  sends: Sends
}

const test = base.extend<Here>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  store: async ({}, use) => {
    const store = await openStore('sqlite::memory:', policy)
    await use(store)
    await store.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  trouble: async ({}, use) => use({}),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  asked: async ({}, use) => use([]),
  timeoutMs: 600_000, // a test that waited for so long would fail
  sends: async ({ store, trouble, asked, timeoutMs }, use) => {
    const get = (_: Store, verb: keyof Store) => {
      asked.push(verb)
      return trouble[verb] ?? store[verb]
    }
    const sends = new Sends({ store: new Proxy(store, { get }), base: '', timeoutMs, heartbeatMs: 10 })
    await use(sends)
    for (const verb of Object.keys(trouble)) delete trouble[verb as keyof Store]
    await sends.stop()
  },
})

/** For tests that meet the end of what a verb may take; all others have the time that a busy machine needs. */
const impatientTest = test.extend({ timeoutMs: 300 })

const attempt = (run: SendAttempt['run']): SendAttempt => ({ admit() {}, run })
const accepted = attempt(async () => {})
const fails = (fault: (typeof failures)[keyof typeof failures] | (typeof faults)['NO_CREDITS']) =>
  attempt(() => Promise.reject(new UpstreamError(fault, { safe: false })))
/** Afilnet does not answer in time; `tell` gets the listener for a late answer. */
const timesOut = (tell: (onLateResult: (error?: unknown) => void) => void) =>
  attempt(async onLateResult => {
    tell(onLateResult)
    throw new UpstreamError(failures.timeout, { safe: false })
  })
const never = () => new Promise<never>(() => {})
/** While Afilnet cannot be called. */
const held: SendAttempt = {
  admit() {
    throw new UpstreamError(failures.circuitOpen, { safe: false })
  },
  run: never,
}
const refuse = () => Promise.reject(new StoreUnavailableError('io'))
const lose = () => Promise.reject(new StoreUnavailableError('io', true))

const request = (attempt: SendAttempt = accepted): SendRequest => {
  const { caller, account, user, kind, platform, platformId, destination } = send()
  const who = { caller, account, user, kind, platform, platformId, destination }
  return { ...who, idempotencyKey: 'k', body: { message: 'Hello' }, requestId: 'request-1', attempt }
}

/** The body of the problem that a post ends with. */
async function problem(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    error => error,
  )
  expect(error).toBeInstanceOf(Problem)
  const { code, outcome, retry, details, row } = error as Problem // as just asserted
  return { status: row.status, ...(details.recorded ?? { code, outcome, retry, sendId: details.sendId, detail: details.detail }) }
}

const rows = (store: Store) => store.list(crm, { limit: 100 })
/** The states that the event log tells. */
const announced = async ({ log }: OpenedStore) =>
  (await log.read('main', 0, 100)).events.map(({ send = '' }) => (JSON.parse(send) as SendRow).state)
const becomes = (store: Store, state: SendRow['state']) =>
  expect.poll(async () => (await rows(store)).map(row => row.state), { interval: 5 }).toEqual([state])

const unavailable = { status: 503, code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' }

describe('A key', () => {
  test('replays the stored result while Afilnet cannot be called, even with clock skew', async ({ sends, store }) => {
    const { send: sent } = await sends.run(request())
    const ahead = send({ id: 'ffffffff-0000-7000-8000-000000000000', idempotencyKey: 'k' })
    // Of another gateway, whose clock is ahead: refused, and not sent, before the one above
    await store.load([{ ...ahead, ...ended('not_sent'), settledAt: Date.now() }])

    expect(await sends.run(request(held))).toMatchObject({ replayed: true, send: { id: sent.id, state: 'accepted' } })
  })
})

test('A send that waits is queued although Afilnet cannot be called now', async ({ sends }) => {
  const queue = { dueAt: Date.now(), expiresAt: Date.now() + 60_000, seal: () => 'key.body' }

  expect(await sends.run({ ...request(held), queue })).toMatchObject({ status: 202, send: { state: 'queued' } })
})

test('A process deletes what has expired', async ({ sends, asked }) => {
  await sends.idle()

  await expect.poll(() => asked).toContain('deleteExpired')
})

describe('A send whose end was recorded on a server that failed', () => {
  impatientTest('becomes unknown although its process lives, and is never sent again', async ({ sends, store, trouble }) => {
    await store.log.open('main')
    Object.assign(trouble, { count: refuse, settle: async () => ({ settled: true }) })
    const { send: sent } = await sends.run(request())
    delete trouble.settle

    await becomes(store, 'unknown')
    expect(await announced(store)).toEqual(['unknown'])
    expect(await problem(sends.run(request(attempt(never))))).toMatchObject({ code: 'send-interrupted', sendId: sent.id })
  })

  impatientTest('stays pending for as long as claim, call and record may take', async ({ sends, store, trouble }) => {
    const answer = Promise.withResolvers<void>()
    const seen: number[] = []
    Object.assign(trouble, {
      count: refuse,
      pendingOf: async (owner: string) => {
        const pending = await store.pendingOf(owner)
        if (seen.length + pending.length > 0 && seen.push(pending.length) === 5) answer.resolve() // a check every 200 ms, and 300 ms for each of the three
        return pending
      },
    })

    expect(await sends.run(request(attempt(() => answer.promise)))).toMatchObject({ send: { state: 'accepted' } })
    expect(seen.slice(0, 5)).toEqual([1, 1, 1, 1, 1])
  })
})

describe('A number that an earlier release stored as the caller wrote it', () => {
  const stored = async (store: Store & Archive, destination: string) => {
    const secret = createSecretKey(await store.secret())
    const row = newSend({ ...request(), destination }, { secret, owner: 'first', now: Date.now })
    await store.load([{ ...row, ...ended('accepted', Date.now()), answer: '' }])
    return row.id
  }

  test('replays for the same number in any spelling', async ({ sends, store }) => {
    const id = await stored(store, '+34 600-00.00 (00)')

    expect(await sends.run(request(attempt(never)))).toMatchObject({ replayed: true, send: { id, state: 'accepted' } })
    expect((await sends.list(crm, { destination: '+34 600-00.00 (00)', limit: 10 })).items, 'once').toMatchObject([{ id }])
    expect(await problem(sends.run({ ...request(), body: { message: 'Another' } }))).toMatchObject({ code: 'idempotency-key-reused' })
  })

  test('is another request for another number', async ({ sends, store }) => {
    await stored(store, '+34 600 00 00 01')

    expect(await problem(sends.run(request()))).toMatchObject({ code: 'idempotency-key-reused' })
  })
})

describe('The secret', () => {
  test('is read again once the store was lost, since another store may be in its place', async ({ sends, asked }) => {
    await sends.run(request())
    sends.secret.replaced()
    await sends.run(request()).catch(() => {})

    expect(asked.filter(verb => verb === 'secret')).toHaveLength(2)
  })
})

describe('A claim', () => {
  test('is given back if the ledger was replaced since its secret was read', async ({ sends, store, trouble }) => {
    trouble.claim = row => {
      sends.secret.replaced()
      return store.claim(row)
    }
    let calls = 0

    expect(await problem(sends.run(request(attempt(async () => void calls++))))).toMatchObject(unavailable)
    expect(calls).toBe(0)
    await becomes(store, 'not_sent')
  })

  test('that hangs is given up, and nothing is sent if it gets through later', async ({ sends, store, trouble }) => {
    const stuck = Promise.withResolvers<void>()
    trouble.claim = row => stuck.promise.then(() => store.claim(row))
    let calls = 0
    const answer = problem(sends.run(request(attempt(async () => void calls++))))

    expect(await answer).toMatchObject(unavailable)
    expect(await rows(store)).toEqual([])
    stuck.resolve()
    await becomes(store, 'not_sent')
    expect(calls).toBe(0)
    delete trouble.claim
    expect(await sends.run(request())).toMatchObject({ replayed: false, send: { state: 'accepted' } })
  })

  test('that got through although it was refused frees its key, and is no news', async ({ sends, store, trouble }) => {
    await store.log.open('main')
    trouble.claim = async row => {
      await store.claim(row)
      return refuse()
    }

    expect(await problem(sends.run(request()))).toMatchObject(unavailable)
    await becomes(store, 'not_sent')
    expect(await announced(store)).toEqual([])
    delete trouble.claim
    expect(await sends.run(request())).toMatchObject({ replayed: false })
  })

  describe('that queued a send although its answer was lost', () => {
    const now = Date.now()
    const unknown = { status: 500, code: 'internal-error', outcome: 'unknown', retry: 'same-key' }
    const inUse = { status: 409, code: 'idempotency-key-in-use', outcome: 'unknown' }
    const queued = { ...request(), queue: { dueAt: now + 60_000, expiresAt: now + 120_000, seal: () => 'key.body' } }

    test('lets no repetition believe that it waits, and then frees its key', async ({ sends, store, trouble }) => {
      trouble.claim = (...args) => store.claim(...args).then(lose)
      trouble.unqueue = refuse
      expect(await problem(sends.run(queued))).toMatchObject(unknown)
      delete trouble.claim
      expect(await problem(sends.run(queued))).toMatchObject(inUse)
      delete trouble.unqueue
      await becomes(store, 'not_sent')

      expect(await sends.run(queued)).toMatchObject({ status: 202, replayed: false })
    })

    test('lets no repetition believe it that came at the same time as its end', async ({ sends, store, trouble, asked }) => {
      const { promise: repeated, resolve: repeat } = Promise.withResolvers<void>()
      trouble.claim = (...args) => store.claim(...args).then(lose)
      trouble.unqueue = (...args) => repeated.then(() => store.unqueue(...args))
      expect(await problem(sends.run(queued))).toMatchObject(unknown)
      await expect.poll(() => asked).toContain('unqueue')
      trouble.claim = async (...args) => {
        const claiming = store.claim(...args)
        repeat()
        const claim = await claiming
        for (let turn = 0; turn < 20; turn++) await undefined
        return claim
      }

      expect(await problem(sends.run(queued))).toMatchObject(inUse)
    })

    test('because the store hangs may be sent by another process until it is taken back', async ({ sends, store, trouble }) => {
      const stuck = Promise.withResolvers<void>()
      trouble.claim = (...args) => stuck.promise.then(() => store.claim(...args))

      expect(await problem(sends.run(queued))).toMatchObject(unknown)
      stuck.resolve()
      await becomes(store, 'not_sent')
    })
  })

  test('that found its key taken, and was refused, changes nothing', async ({ sends, store, trouble, asked }) => {
    const { send } = await sends.run(request())
    trouble.claim = async row => {
      await store.claim(row)
      return refuse()
    }
    await problem(sends.run(request()))
    const settles = asked.filter(verb => verb === 'settle').length
    await expect.poll(() => asked.filter(verb => verb === 'settle').length).toBeGreaterThan(settles)

    delete trouble.claim
    expect(await sends.run(request())).toEqual({ replayed: true, status: 201, send })
  })

  test('that was refused because the ledger is full causes no further write', async ({ sends, trouble, asked }) => {
    trouble.claim = () => Promise.reject(new StoreUnavailableError('limit'))

    expect(await problem(sends.run(request()))).toMatchObject(unavailable)
    asked.length = 0
    await expect.poll(() => asked.filter(verb => verb === 'heartbeat').length).toBeGreaterThan(2)
    expect(asked).not.toContain('settle')
  })

  test.for([
    ['hangs', never],
    ['is refused', refuse],
  ] as const)('is not sent while reading the secret %s', async ([, verb], { sends, store, trouble }) => {
    trouble.secret = verb

    expect(await problem(sends.run(request()))).toMatchObject(unavailable)
    expect(await rows(store)).toEqual([])
    delete trouble.secret
    expect(await sends.run(request())).toMatchObject({ replayed: false })
  })

  test('that fails with an error of the gateway sends nothing', async ({ sends, trouble }) => {
    trouble.claim = () => Promise.reject(new TypeError('wrong'))

    await expect(sends.run(request())).rejects.toThrow(TypeError)
  })

  test('that got through frees its key, although thousands were refused in an outage before', async ({ sends, store, trouble, asked }) => {
    trouble.claim = refuse
    trouble.settle = refuse
    for (let n = 0; n < 10_000; n += 1_000) await Promise.all(Array.from({ length: 1_000 }, () => sends.run(request()).catch(() => {})))
    delete trouble.settle
    const before = asked.length
    await expect.poll(() => asked.slice(before).filter(verb => verb === 'settle').length).toBeGreaterThan(9_999)
    trouble.claim = (...args) => store.claim(...args).then(refuse)
    expect(await problem(sends.run(request()))).toMatchObject(unavailable)

    await becomes(store, 'not_sent')
  })

  test('that is refused again and again does not fill the memory', async ({ sends, store, trouble, asked }) => {
    const offered = new Set<string>()
    trouble.claim = refuse
    trouble.settle = refuse
    for (let n = 0; n < 12_000; n += 1_000) await Promise.all(Array.from({ length: 1_000 }, () => sends.run(request()).catch(() => {})))
    trouble.settle = (send, outcome) => {
      offered.add(send.id)
      return store.settle(send, outcome)
    }

    await expect.poll(() => offered.size).toBeGreaterThanOrEqual(10_000)
    const beats = asked.filter(verb => verb === 'heartbeat').length
    await expect.poll(() => asked.filter(verb => verb === 'heartbeat').length).toBeGreaterThan(beats + 2)
    expect(offered.size).toBe(10_000)
  })
})

describe('An outcome that the store does not take', () => {
  impatientTest.for([
    ['hangs', never],
    ['is refused', refuse],
    ['goes wrong', () => Promise.reject(new TypeError('wrong'))],
  ] as const)('is answered as unknown, recorded as soon as possible, and told: it %s', async ([, verb], { sends, store, trouble }) => {
    await store.log.open('main')
    trouble.settle = verb
    const reported = await problem(sends.run(request()))
    const during = await problem(sends.run(request()))
    delete trouble.settle
    await becomes(store, 'accepted')
    expect(await announced(store)).toEqual(['accepted'])

    const [row] = await rows(store)
    const told = { detail: expect.stringContaining('the ledger did not record'), sendId: row?.id }
    expect(reported).toMatchObject({ status: 500, code: 'internal-error', outcome: 'unknown', retry: 'same-key', ...told })
    expect(during).toMatchObject({ status: 409, sendId: row?.id })
    expect(await sends.run(request())).toMatchObject({ replayed: true, send: { id: row?.id, state: 'accepted' } })
  })

  test('is recorded once the ledger is back that was another one meanwhile', async ({ sends, store, trouble }) => {
    trouble.settle = async () => ({ settled: false })
    const { send } = await sends.run(request())
    expect((await rows(store)).map(row => row.state)).toEqual(['pending'])
    delete trouble.settle

    await becomes(store, 'accepted')
    expect(await sends.run(request())).toMatchObject({ replayed: true, send: { id: send.id, state: 'accepted' } })
  })

  test('is answered as it is if nothing was sent', async ({ sends, store, trouble }) => {
    trouble.settle = refuse
    const reported = await problem(sends.run(request(fails(faults.NO_CREDITS))))
    delete trouble.settle
    await becomes(store, 'not_sent')

    const [row] = await rows(store)
    expect(reported).toMatchObject({ status: 503, code: 'upstream-out-of-credit', outcome: 'not_applied', retry: 'no', sendId: row?.id })
  })

  test('is not to be repeated without a key', async ({ sends, trouble }) => {
    trouble.settle = refuse

    expect(await problem(sends.run({ ...request(), idempotencyKey: undefined }))).toMatchObject({ code: 'internal-error', retry: 'no' })
  })

  test('gives way to a late answer', async ({ sends, store, trouble }) => {
    const late = Promise.withResolvers<void>()
    trouble.settle = refuse
    const reported = await problem(sends.run(request(timesOut(tell => void late.promise.then(tell)))))
    late.resolve()
    await late.promise
    delete trouble.settle
    await becomes(store, 'accepted')

    expect(reported).toMatchObject({ status: 500, outcome: 'unknown' })
  })

  test('does not take a late answer with it that comes while it is recorded', async ({ sends, store, trouble }) => {
    const [late, refused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    trouble.settle = refuse
    await problem(sends.run(request(timesOut(tell => void late.promise.then(tell)))))
    trouble.settle = async (send, outcome) => {
      if (outcome.state === 'accepted') {
        refused.resolve()
        return refuse()
      }
      late.resolve()
      await refused.promise
      delete trouble.settle
      return store.settle(send, outcome)
    }

    await becomes(store, 'accepted')
  })

  test('does not take the place of a late answer that waits already', async ({ sends, store, trouble }) => {
    trouble.settle = refuse
    await problem(sends.run(request(timesOut(tell => tell()))))
    delete trouble.settle
    await expect.poll(async () => (await rows(store))[0]?.state).not.toBe('pending')

    expect(await rows(store)).toMatchObject([{ state: 'accepted', settledBy: 'late-answer' }])
  })

  test('stays unknown if a late answer says that nothing was sent', async ({ sends, store, trouble }) => {
    trouble.settle = refuse
    await problem(sends.run(request(timesOut(tell => tell(new UpstreamError(faults.NO_CREDITS, { safe: false }))))))
    delete trouble.settle
    await expect.poll(async () => (await rows(store))[0]?.state).not.toBe('pending')

    expect(await rows(store)).toMatchObject([{ state: 'unknown' }])
  })

  impatientTest('does not hold up the heartbeat', async ({ sends, trouble, asked }) => {
    trouble.settle = never
    await problem(sends.run(request()))
    asked.length = 0

    await expect.poll(() => asked.filter(verb => verb === 'heartbeat').length).toBeGreaterThan(5)
  })

  test.for([
    ['is recorded', 'accepted', false],
    ['is unknown', 'unknown', true],
  ] as const)('%s when the process ends', async ([, state, isRefused], { sends, store, trouble }) => {
    trouble.settle = refuse
    await problem(sends.run(request()))
    if (!isRefused) delete trouble.settle
    await sends.stop()

    expect(await rows(store)).toMatchObject([{ state }])
  })

  test('does not hold up the end of the process', async ({ store }) => {
    const sends = new Sends({ store: { ...store, settle: never, release: never }, base: '', timeoutMs: 600_000 })
    void sends.run(request()).catch(() => {})
    await sends.stop()
  })
})

describe('A send whose process was taken for dead', () => {
  /** Its lease expires while it runs. */
  const expired = (store: Store, { run }: SendAttempt) =>
    request(
      attempt(async onLateResult => {
        const [row] = await rows(store)
        await store.release(row?.owner ?? '')
        return run(onLateResult)
      }),
    )

  test.for([
    ['did not happen', fails(faults.NO_CREDITS)],
    ['is not known', fails(failures.timeout)],
  ] as const)('gets the answer that the ledger gives from then on: it %s', async ([, attempt], { sends, store }) => {
    const reported = await problem(sends.run(expired(store, attempt)))

    expect(reported).toMatchObject({ status: 502, code: 'send-interrupted', outcome: 'unknown', retry: 'same-key' })
    expect(await problem(sends.run(request()))).toEqual(reported)
  })

  test('is not to be repeated without a key', async ({ sends, store }) => {
    const unkeyed = { ...expired(store, fails(failures.timeout)), idempotencyKey: undefined }

    expect(await problem(sends.run(unkeyed))).toMatchObject({ code: 'send-interrupted', retry: 'no' })
  })

  test('is still accepted if Afilnet accepted it', async ({ sends, store }) => {
    const { send } = await sends.run(expired(store, accepted))

    expect(send.state).toBe('accepted')
    expect(await sends.run(request())).toEqual({ replayed: true, status: 201, send })
  })
})

test('A send whose message was found while it ran has it in its answer', async ({ sends, store }) => {
  const found = attempt(async () => {
    const [row] = await rows(store)
    await store.note({ ...crm, id: row?.id ?? '' }, { messageId: '1001', deliveryStatus: 'SENT', deliveryAt: 1_000 })
  })
  const { send } = await sends.run(request(found))

  expect(send).toMatchObject({ state: 'accepted', messageId: '1001', delivery: { status: 'SENT' } })
  expect(await sends.run(request())).toEqual({ replayed: true, status: 201, send })
})

describe('Reading', () => {
  impatientTest('gives up on a store that hangs', async ({ sends, trouble }) => {
    trouble.find = trouble.list = never

    expect(await problem(sends.find(crm, 'x'))).toMatchObject(unavailable)
    expect(await problem(sends.list(crm, { limit: 1 }))).toMatchObject(unavailable)
  })

  test('drops the query of a caller that has left', async ({ sends }) => {
    const reason = new Error('the caller has left')

    await expect(sends.list(crm, { limit: 1 }, { reason })).rejects.toBe(reason)
  })
})

describe('An attempt that fails with an error of the gateway', () => {
  test('is unknown, and replayed as that', async ({ sends, store }) => {
    const reported = await problem(sends.run(request(attempt(() => Promise.reject(new TypeError('wrong'))))))

    expect(reported).toMatchObject({ status: 500, code: 'internal-error', outcome: 'unknown', retry: 'same-key' })
    expect(await problem(sends.run(request()))).toEqual(reported)
    expect(await rows(store)).toMatchObject([{ state: 'unknown' }])
  })
})

test('A clock that is set back during a send does not date its end before its beginning', async ({ store }) => {
  const createdAt = Date.now()
  const times = [createdAt]
  const sends = new Sends({ store, base: '', now: () => times.shift() ?? createdAt - 86_400_000 })
  const { send } = await sends.run(request())
  await sends.stop()

  expect(send).toMatchObject({ state: 'accepted', createdAt: send.settledAt })
})

test('idle waits for what runs, with or without a caller', async ({ sends }) => {
  const answer = Promise.withResolvers<void>()
  let idle = false
  const run = sends.run(request(attempt(() => answer.promise)))
  const waiting = sends.idle().then(() => {
    idle = true
  })
  await expect(problem(sends.run(request()))).resolves.toMatchObject({ status: 409 })

  expect(idle).toBe(false)
  answer.resolve()
  await waiting
  expect(await run).toMatchObject({ send: { state: 'accepted' } })
})
