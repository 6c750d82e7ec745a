import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { endLostSends } from '../../../src/queue/worker.ts'
import type { StoreOptions } from '../../../src/store/adapter.ts'
import type { DeliveryChange } from '../../../src/store/deliveries.ts'
import type { MediaLedger } from '../../../src/store/media.ts'
import { openStore } from '../../../src/store/open.ts'
import { type NewSend, type SendRow, type Store, type StoreFault, StoreVersionError } from '../../../src/store/store.ts'
import { readStoreUrl, type ServerPlace } from '../../../src/store/url.ts'
import { openValkey } from '../../../src/store/valkey/valkey.ts'
import { selfSigned } from '../../afilnet/certificate.ts'
import { archiveContract } from '../archive-contract.ts'
import { comeAndGo } from '../come-and-go.ts'
import { storeContract } from '../contract.ts'
import { deliveryContract, failed } from '../delivery-contract.ts'
import { created, eventContract } from '../event-contract.ts'
import { findingsContract } from '../findings-contract.ts'
import { file, mediaContract } from '../media-contract.ts'
import { queueContract } from '../queue-contract.ts'
import { crm, ended, policy, send } from '../sends.ts'
import { refused, remoteStore, unavailable } from '../stores.ts'
import { noServer, type Server, startServer } from './server.ts'
import { openSwitch } from './switch.ts'

/** A store with the warnings and faults that it reported, closed at the end of the test. */
async function open(url: string, over: Partial<StoreOptions> = {}) {
  const states: (StoreFault | 'ok')[] = []
  const warnings: string[] = []
  const reported = {
    onState(ok: boolean, fault?: StoreFault) {
      const state = ok ? 'ok' : (fault ?? 'io')
      if (state !== states.at(-1)) states.push(state) // a call may say that the connection is lost before the connection does
    },
    onWarning: (text: string) => !text.startsWith('the ledger is new') && warnings.push(text), // as every store of a test is
  }
  const store = await openValkey(readStoreUrl(url) as ServerPlace, { ...policy, now: () => 1_000, ...reported, ...over }) // the tests name servers only
  onTestFinished(store.close)
  return { store, states, warnings }
}

async function put(store: Store, over: Parameters<typeof send>[0] = {}, end?: Parameters<typeof ended>[0]) {
  const row = send(over)
  await store.claim(row)
  if (end) await store.settle(row, ended(end))
  return row
}

/** Stores a file of a caller and two that came with a send, of which another send uses one; deletes them all, and gives those that went with the send. */
async function removedFiles({ media }: { media: MediaLedger }) {
  for (const row of [file({ id: 'own' }), file({ id: 'shared', sendId: 's' }), file({ id: 'of-a-send', sendId: 's' })])
    await media.add(row, 1_000)
  await media.share('shared')
  const removed = await media.removeOf('s')
  await media.remove(['own', 'shared'])
  expect(await media.usage()).toEqual({ files: 0, bytes: 0 })
  return removed
}

/** Far more than the half second that is promised, on a machine that has other things to do. */
const soon = { timeout: 40_000 }

/** Once a replica has caught up with it. */
const following = (primary: Server) => {
  primary.cli('SET', 'theirs', '1') // else it would have nothing to say for ten seconds
  return expect.poll(() => primary.cli('INFO', 'replication'), { interval: 50 }).toMatch(/state=online,offset=[1-9]/)
}

/** Writes and reads have a connection each. */
const back = async (store: Store) => {
  for (const verb of [() => store.heartbeat('first'), () => store.list(crm, { limit: 1 })])
    await expect.poll(() => refused(verb()), { interval: 20 }).toBeUndefined()
}

describe.skipIf(noServer)('a Valkey or Redis server (needs redis-server)', () => {
  let shared: Server
  beforeAll(async () => {
    shared = await startServer()
  })
  afterAll(() => shared.end())

  /** One that a test may do anything to. */
  const start: typeof startServer = async options => {
    const server = await startServer(options)
    onTestFinished(server.end)
    return server
  }

  for (const contract of [storeContract, findingsContract, queueContract, archiveContract, eventContract, deliveryContract, mediaContract])
    contract('valkey', options => openStore(shared.fresh(), options))

  describe('several processes on one server', () => {
    test('exactly one of 50 claimants wins each key', async () => {
      const url = shared.fresh()
      const remotes = await Promise.all([remoteStore(url), remoteStore(url)])
      const keys = Array.from({ length: 20 }, (_, n) => `k${n}`)
      const claims = remotes.flatMap(({ store }) =>
        Array.from({ length: 25 }, () => keys.map(async key => ({ key, ...(await store.claim(send({ idempotencyKey: key }))) }))),
      )

      const won = (await Promise.all(claims.flat())).filter(({ claimed }) => claimed)
      for (const { end } of remotes) await end()
      expect(won.map(({ key }) => key).sort()).toEqual(keys.sort())
    })

    test('what a killed one was doing ends as unknown, and not before its lease', async () => {
      const url = shared.fresh()
      const remote = await remoteStore(url)
      const row = await put(remote.store, { owner: 'killed' })
      await remote.end('SIGKILL')
      const clock = { ms: Date.now() + policy.leaseMs - 2_000 }
      const { store } = await open(url, { now: () => clock.ms, monotonic: () => clock.ms })

      expect(await store.expireLeases()).toBe(0)
      clock.ms += 2_000 + policy.leaseMs
      expect(await store.expireLeases()).toBe(1)
      expect(await store.find(crm, row.id)).toMatchObject({ state: 'unknown', settledAt: clock.ms })
    })

    test('one that starts while its clock is far behind ends sends by the time that the ledger remembers', async () => {
      const url = shared.fresh()
      const year = 31_536_000_000
      const { store: right } = await open(url, { now: () => year })
      await right.heartbeat('right')
      const clock = { ms: 1_000 }
      const { store: behind } = await open(url, { now: () => clock.ms, monotonic: () => clock.ms })
      await put(behind, { idempotencyKey: 'k' }, 'accepted')
      await put(behind, { idempotencyKey: 'l', owner: 'killed' })
      clock.ms += policy.leaseMs
      expect(await behind.expireLeases()).toBe(1)

      for (const [idempotencyKey, state] of Object.entries({ k: 'accepted', l: 'unknown' }))
        expect(await right.claim(send({ idempotencyKey }))).toMatchObject({ claimed: false, existing: { state } })
    })

    test('a release that adds something runs beside one that does not know it', async () => {
      const url = shared.fresh()
      const { store } = await open(url)
      const row = { ...send({ idempotencyKey: 'k' }), later: 'a member of tomorrow' }
      await store.claim(row)

      expect(shared.cli('-n', url.split('/').at(-1) ?? '', 'GET', 'afg:key:3:crm:k'), 'where the first release looks').toBe(row.id)
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: row })
      expect(await store.settle(row, ended('accepted'))).toEqual({ settled: true })
      expect(await store.find(crm, row.id)).toMatchObject({ ...row, state: 'accepted' })
    })

    test('forgets a caller with its last row, and those whose last row an earlier release has deleted', async () => {
      const url = shared.fresh()
      const callers = () => shared.cli('-n', url.split('/').at(-1) ?? '', 'SMEMBERS', 'afg:callers')
      const { store } = await open(url)
      for (const destination of ['34600000000', '34600000001']) await put(store, { destination }, 'accepted')
      await put(store, { caller: 'shop' }, 'accepted')

      await store.forget('34600000000')
      expect(callers()).toBe('crm')

      shared.cli('-n', url.split('/').at(-1) ?? '', 'SADD', 'afg:callers', 'gone')
      await open(url)
      expect(callers()).toBe('crm')
    })

    test('finds a number that an earlier release stored as it was written, whose digits have no index yet', async () => {
      const url = shared.fresh()
      const { id } = await put((await open(url)).store, { destination: '+34 600-00.00 (00)' })
      shared.cli('-n', url.split('/').at(-1) ?? '', 'DEL', 'afg:by:destination:3:crm:34600000000')
      const { store } = await open(url)

      const found = async () => (await store.list(crm, { destination: '34600000000', limit: 10 })).map(row => row.id)
      await expect.poll(found, { interval: 5 }).toEqual([id])
    })

    test('begins under a clock that is ahead, and still holds each key', async () => {
      const url = shared.fresh()
      const { store: before } = await open(url)
      await put(before, { idempotencyKey: 'k' }, 'accepted')
      await before.heartbeat('first')
      const { store } = await open(url, { now: () => 2 * policy.keepMs })

      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false })
    })

    test('one of a newer schema is refused, at the start and later, and left alone', async () => {
      const url = shared.fresh()
      const { store, states } = await open(url)
      const row = await put(store)
      const db = url.split('/').at(-1) ?? ''
      shared.cli('-n', db, 'SET', 'afg:schema', '2')
      // DEBUG DIGEST alone would be of all databases of the server, in which keys of other tests expire.
      const contents = () => {
        const keys = shared.cli('-n', db, 'KEYS', '*').split('\n').sort()
        return [keys, shared.cli('-n', db, 'DEBUG', 'DIGEST-VALUE', ...keys)]
      }
      const before = contents()

      const error = await refused(openStore(url, policy))
      expect(error).toBeInstanceOf(StoreVersionError)
      expect(error.message).toContain('schema version 2')
      const verbs = [store.claim(send()), store.settle(row, ended('accepted')), store.find(crm, row.id), store.heartbeat('first')]
      for (const refusal of await Promise.all(verbs.map(refused))) expect(refusal).toBeInstanceOf(StoreVersionError)
      expect(states).toEqual(['version'])
      expect(contents()).toEqual(before)
    })

    test('other keys of the server are left alone', async () => {
      const url = shared.fresh()
      const db = url.split('/').at(-1) ?? ''
      shared.cli('-n', db, 'SET', 'theirs', '1')
      const clock = { ms: 1_000 }
      const { store } = await open(url, { now: () => clock.ms, monotonic: () => clock.ms })
      await put(store, { idempotencyKey: 'k', reference: 'r' }, 'unknown')
      clock.ms += policy.keepUnknownMs + 8 * 86_400_000
      await store.deleteExpired()
      await store.release('first')

      expect(shared.cli('-n', db, 'KEYS', '*').split('\n').sort()).toEqual(['afg:bytes', 'afg:ledger', 'afg:schema', 'theirs'])
      expect(shared.cli('-n', db, 'GET', 'afg:bytes')).toBe('0')
    })
  })

  test('what is gone leaves neither a key nor a byte behind', async () => {
    const url = shared.fresh()
    const cli = (...words: string[]) => shared.cli('-n', url.split('/').at(-1) ?? '', ...words)
    const clock = { ms: 1_000 }
    const { store } = await open(url, { now: () => clock.ms, monotonic: () => clock.ms })
    const { media, deliveries } = store
    const lease = await comeAndGo(store, clock)

    expect(await media.expired()).toEqual([])
    const left = ['bytes', 'fences', 'ledger', 'mediabytes', 'queue:cursor', 'schema']
    cli('DEL', 'afg:queue:looked') // goes within a second
    expect(cli('KEYS', '*').split('\n').sort()).toEqual(left.map(name => `afg:${name}`))
    expect([cli('GET', 'afg:bytes'), cli('GET', 'afg:mediabytes')]).toEqual(['0', '0'])

    const save = async (change: Partial<DeliveryChange>) => {
      const saved = { account: 'main', state: 's' }
      expect(await deliveries.save('crm', lease, { saved, failed: [], cleared: [], handled: 0, ...change })).toBe(true)
      return cli('GET', 'afg:bytes')
    }
    const before = await save({})
    expect(await save({ failed: [failed(1), failed(2, { destination: null }), failed(3, { destination: null })] })).not.toBe(before)
    await deliveries.request('crm', 'x')
    await store.forget('34600000000')
    expect(await save({ cleared: [2], clearedAfter: 2, handled: 1 })).toBe(before)
  })

  describe('names and values', () => {
    test('of any kind stay apart', async () => {
      const { store } = await open(shared.fresh())
      const mine = await put(store, { caller: 'a', reference: 'b:c', idempotencyKey: 'x:1:y' })
      await put(store, { caller: 'a:b', reference: 'c', idempotencyKey: 'y' })
      await put(store, { caller: 'a', reference: '', idempotencyKey: 'ñ\u{1F600}' })

      expect(await store.list({ ...crm, caller: 'a' }, { reference: 'b:c', limit: 9 })).toMatchObject([{ id: mine.id }])
      expect(await store.list({ ...crm, caller: 'a' }, { reference: '', limit: 9 })).toHaveLength(1)
      expect(await store.claim(send({ caller: 'a', idempotencyKey: 'ñ\u{1F600}' }))).toMatchObject({ claimed: false })
      expect(await store.claim(send({ caller: 'a:x', idempotencyKey: '1:y' }))).toEqual({ claimed: true })
    })

    test('of clocks that differ: a key is held whichever id is the newest', async () => {
      const { store } = await open(shared.fresh())
      const [early, late] = [send({ idempotencyKey: 'k' }), send({ idempotencyKey: 'k' })]
      await store.claim(late)
      await store.settle(late, ended('not_sent'))
      await store.claim(early)
      await store.settle(early, ended('accepted'))

      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { id: early.id } })
    })
  })

  test.for([
    ['', {}, 'settle', undefined],
    [' for the queue', { dueAt: 1_000, expiresAt: 60_000 }, 'unqueue', 'sealed'],
  ] as const)('does not take a claim%s that arrives after it was given up', async ([, times, giveUp, sealed]) => {
    const { store } = await open(shared.fresh())
    const row = send({ idempotencyKey: 'k', ...times })
    await store[giveUp](row, ended('not_sent'))

    expect(await refused(store.claim(row, undefined, sealed))).toEqual(unavailable('busy'))
    expect(await store.list(crm, { limit: 10 })).toEqual([])
    expect(await store.claim(send({ idempotencyKey: 'k' }))).toEqual({ claimed: true })
  })

  describe('a queue that an earlier release works on, or has worked on', () => {
    async function openQueue() {
      const server = await start()
      const clock = { ms: 1_000 }
      const { store } = await open(server.url(), { now: () => clock.ms, monotonic: () => clock.ms })
      const queue = async (account: string, n: number) => {
        const row = send({ account, destination: String(n), dueAt: 1_000 + n, expiresAt: 90_000 })
        await store.claim(row, undefined, 'key.body')
        return row
      }
      const take = async (running: Record<string, number>) => {
        const { due, nextAt } = await store.takeDue('first', 8, new Map(Object.entries(running)))
        return { ids: due.map(({ row }) => row.id), nextAt }
      }
      /** It keeps nothing for each account. */
      const forgetAccounts = () => server.cli('DEL', 'afg:queue:accounts', 'afg:queue:ready:main', 'afg:queue:ready:shop')
      return { server, store, clock, queue, take, forgetAccounts }
    }

    test('is found, however long it is, and no account waits for another', async () => {
      const { clock, queue, take, forgetAccounts } = await openQueue()
      for (let n = 0; n < 500; n++) await queue('main', n)
      const other = await queue('shop', 900)
      forgetAccounts()
      clock.ms = 2_000
      const given: string[] = []
      let claims = 0
      for (let again = true; again; claims++) {
        const { ids, nextAt = 0 } = await take({ main: 4 })
        given.push(...ids)
        again = nextAt <= clock.ms
      }

      expect(given).toEqual([other.id])
      expect(claims, 'a slice at a time').toBeGreaterThan(2)
    })

    test('does not hide what it adds behind what it cancels', async () => {
      const { server, store, clock, queue, take } = await openQueue()
      const canceled = await queue('main', 10_000)
      await store.unqueue(canceled, { state: 'canceled', settledAt: 1_000, answer: '' })
      server.cli('ZADD', 'afg:queue:ready:main', '11000', canceled.id) // it cancels in the other set only
      server.cli('ZADD', 'afg:queue:accounts', '11000', 'main')
      const added = await queue('shop', 2)
      server.cli('DEL', 'afg:queue:ready:shop')
      server.cli('ZREM', 'afg:queue:accounts', 'shop')
      clock.ms = 3_000
      expect((await take({})).ids).toEqual([added.id])
    })

    test('loses nothing: what it takes, queues again and adds meanwhile goes in time', async () => {
      const { server, store, clock, queue, take, forgetAccounts } = await openQueue()
      const [taken, again] = [await queue('main', 0), await queue('main', 1)]
      clock.ms = 3_000
      expect((await take({})).ids).toEqual([taken.id, again.id])
      await store.requeue(again, 5_000, 1)
      for (const { id } of [taken, again]) server.cli('ZADD', 'afg:queue:ready:main', '1', id) // it took them from the other set only
      expect(await take({})).toEqual({ ids: [], nextAt: 5_000 })
      const added = await queue('shop', 2)
      forgetAccounts()

      expect((await take({})).ids).toEqual([added.id])
      clock.ms = 5_000
      expect((await take({})).ids).toEqual([again.id])
      expect(server.cli('KEYS', 'afg:queue:ready*')).toBe('')
    })
  })

  describe('a ledger that changes under a running process', () => {
    const changes: Record<string, (server: Server, rowId: string) => void> = {
      'is flushed': server => server.cli('FLUSHALL'),
      'is an older copy': server => server.cli('HSET', 'afg:ledger', 'claims', '0'),
      'is another one': server => server.cli('HSET', 'afg:ledger', 'identity', 'other'),
      'has lost a row': (server, rowId) => server.cli('DEL', `afg:send:${rowId}`),
    }
    test.for(Object.entries(changes).slice(1, 3))('%s: gives nothing of its queue until that is accepted', async ([, change]) => {
      const server = await start()
      const ledgers: boolean[] = []
      const { store } = await open(server.url(), { now: Date.now, onLedger: changed => ledgers.push(changed) })
      const [gone, waiting] = ['34600000000', '34600000001'].map(destination =>
        send({ destination, createdAt: Date.now(), dueAt: Date.now(), expiresAt: Date.now() + 3_600_000 }),
      ) as [NewSend, NewSend]
      const take = async () => (await store.takeDue('first', 10)).due.map(({ row }) => row.id)
      await store.claim(gone, undefined, 'key.body')
      expect(await take()).toEqual([gone.id])
      await store.claim(waiting, undefined, 'key.body')
      change(server, gone.id)

      expect(await store.takeDue('first', 10)).toEqual({ due: [], expired: [] })
      expect(ledgers).toEqual([true])
      await store.accept()
      await store.heartbeat('first')
      expect(await take()).toEqual([waiting.id])
    })

    test('has lost the last of many rows: says so when it is checked', async () => {
      const server = await start()
      const { store } = await open(server.url())
      const rows = Array.from({ length: 1_001 }, () => send())
      await Promise.all(rows.map(row => store.claim(row)))
      server.cli('DEL', `afg:send:${rows.at(-1)?.id}`)

      expect((await store.check()).problems).toEqual(['sends that an index names and that are gone: 1'])
    })

    test('has lost a row: gives nothing of its queue either', async () => {
      const server = await start()
      const { store } = await open(server.url())
      const row = await put(store, { idempotencyKey: 'k' }, 'accepted')
      await store.claim(send({ dueAt: 1_000, expiresAt: 9_000 }), undefined, 'key.body')
      server.cli('DEL', `afg:send:${row.id}`)
      expect(await refused(store.claim(send({ idempotencyKey: 'k' })))).toMatchObject({ name: 'LedgerChangedError' })

      expect(await store.takeDue('first', 10)).toEqual({ due: [], expired: [] })
    })

    test('those who watch a log hear that an empty one is in its place', async () => {
      const server = await start()
      const { store } = await open(server.url())
      const { log } = store
      await log.open('main')
      await log.append('main', { events: [created('1')] })
      let heard = 0
      const stop = log.watch(['main'], () => heard++)
      await expect.poll(() => heard).toBe(1)
      server.cli('FLUSHALL')
      await log.open('main')

      await expect.poll(() => heard).toBeGreaterThan(1)
      const waiting = () => server.cli('CLIENT', 'LIST').split('cmd=xread').length - 1
      const heardByAll = heard
      const alsoStop = log.watch(['main'], () => heard++)
      await expect.poll(() => heard).toBeGreaterThan(heardByAll)
      await expect.poll(waiting, { message: 'both on one connection', interval: 50 }).toBe(1)
      for (const end of [stop, alsoStop]) end()
      await expect.poll(waiting, { interval: 50 }).toBe(0)
      log.watch(['main'], () => heard++)
      await expect.poll(waiting, { interval: 50 }).toBe(1)
      await store.close()
      await expect.poll(waiting, { interval: 50 }).toBe(0)
    })

    test.for(Object.entries(changes))('%s: takes no key until that is accepted, and everything else', async ([, change]) => {
      const server = await start()
      const ledgers: boolean[] = []
      const { store } = await open(server.url(), { now: Date.now, onLedger: changed => ledgers.push(changed) })
      const row = await put(store, { idempotencyKey: 'k' }, 'accepted')
      change(server, row.id)

      for (const key of ['k', 'k', 'new'])
        expect(await refused(store.claim(send({ idempotencyKey: key })))).toMatchObject({ name: 'LedgerChangedError', cause: 'changed' })
      expect(await store.claim(send())).toEqual({ claimed: true })
      expect(await store.list(crm, { limit: 1 })).toHaveLength(1)
      await store.heartbeat('first')
      expect(ledgers).toEqual([true])

      await store.accept()
      await store.heartbeat('first')
      expect(ledgers).toEqual([true, false])
      expect(await store.claim(send({ idempotencyKey: 'new' }))).toEqual({ claimed: true })
      expect(await refused(store.claim(send({ idempotencyKey: 'k' })))).toBeUndefined()
    })

    test('that is accepted before it is noticed has not changed', async () => {
      const server = await start()
      let ms = 1_000
      const ledgers: boolean[] = []
      const { store } = await open(server.url(), { now: () => ms++, onLedger: changed => ledgers.push(changed) })
      await put(store, { idempotencyKey: 'k' }, 'accepted')
      server.cli('HSET', 'afg:ledger', 'identity', 'other')
      await store.accept()
      await store.heartbeat('first')

      expect(ledgers).toEqual([])
      expect(await store.claim(send({ idempotencyKey: 'new' }))).toEqual({ claimed: true })
    })

    test('that the server has evicted from is noticed by the next heartbeat', async () => {
      const server = await start({ settings: { 'maxmemory-policy': 'allkeys-random' } })
      const { store } = await open(server.url())
      for (let n = 0; n < 50; n++) await put(store, { idempotencyKey: `k${n}` })
      const ledger = server.cli('HGETALL', 'afg:ledger').split('\n')
      server.cli('CONFIG', 'SET', 'maxmemory', '1')
      server.cli('SET', 'theirs', '1') // evicts
      server.cli('CONFIG', 'SET', 'maxmemory', '0')
      server.cli('HSET', 'afg:ledger', ...ledger) // as if it had evicted others only
      await store.heartbeat('first')

      expect(await refused(store.claim(send({ idempotencyKey: 'new' })))).toMatchObject({ name: 'LedgerChangedError' })
      const { store: later } = await open(server.url()) // begins with what is left
      await later.heartbeat('second')
      server.cli('DEL', `afg:send:${(await put(later, { idempotencyKey: 'lost' })).id}`)
      expect(await later.claim(send({ idempotencyKey: 'lost' }))).toEqual({ claimed: true })
    })

    test('has not changed where the server has evicted only what counts requests', async () => {
      const server = await start({ settings: { 'maxmemory-policy': 'volatile-lru' } })
      const { store } = await open(server.url())
      await store.heartbeat('first')
      await store.count?.('requests', 'crm', 60_000)
      server.cli('CONFIG', 'SET', 'maxmemory', '1')
      server.cli('SET', 'theirs', '1') // evicts
      server.cli('CONFIG', 'SET', 'maxmemory', '0')
      await store.heartbeat('first')

      expect(server.cli('INFO', 'stats')).toMatch(/evicted_keys:[1-9]/)
      expect(await store.claim(send({ idempotencyKey: 'new' }))).toEqual({ claimed: true })
    })

    describe('that has lost the entry of a queued send', () => {
      async function openQueue() {
        const server = await start()
        const clock = { ms: 1_000 }
        const { store } = await open(server.url(), { now: () => clock.ms, monotonic: () => clock.ms })
        const queue = async (destination: string) => {
          const row = send({ destination, dueAt: 1_000, expiresAt: 9_000 })
          expect(await store.claim(row, undefined, 'key.body')).toEqual({ claimed: true })
          return row.id
        }
        const take = async () => (await store.takeDue('first', 10)).due.map(({ row }) => row.id)
        return { store, clock, queue, take, lose: (id: string) => server.cli('DEL', `afg:queue:${id}`) }
      }

      test('gives the others, and lets that one expire', async () => {
        const { store, clock, queue, take, lose } = await openQueue()
        const [lost, other] = [await queue('34600000000'), await queue('34600000001')]
        lose(lost)

        expect(await take()).toEqual([other])
        const behind = await queue('34600000000')
        expect(await take()).toEqual([behind])
        clock.ms = 9_000
        expect((await store.takeDue('first', 10)).expired.map(({ id }) => id)).toEqual([lost])
      })

      test('names it among those that no key opens until it has ended', async () => {
        const { store, queue, lose } = await openQueue()
        const lost = await queue('34600000000')
        const others = async () => (await store.sealedByOthers(['key'])).map(({ id }) => id)
        lose(lost)

        expect(await others()).toEqual([lost])
        expect(await store.unqueue({ ...crm, id: lost }, ended('not_sent'))).toEqual({ settled: true })
        expect(await others()).toEqual([])
      })

      test('gives what is behind it, once it has run', async () => {
        const { store, queue, take, lose } = await openQueue()
        const lost = await queue('34600000000')
        expect(await take()).toEqual([lost])
        lose(lost)
        await store.settle({ ...crm, id: lost }, ended('accepted'))

        const behind = await queue('34600000000')
        expect(await take()).toEqual([behind])
      })
    })
  })

  describe('a server that comes and goes', () => {
    test('has forgotten nothing after kill -9, and is found again', async () => {
      const server = await start()
      const { store, states } = await open(server.url())
      const rows = await Promise.all(Array.from({ length: 200 }, () => put(store, {}, 'accepted')))
      await server.kill()

      expect(await refused(store.claim(send()))).toEqual(unavailable('away'))
      expect(await refused(store.list(crm, { limit: 1 }))).toEqual(unavailable('away'))
      await server.restart()
      await back(store)
      expect(await store.list(crm, { limit: 1_000 })).toHaveLength(rows.length)
      expect(await store.claim(send())).toEqual({ claimed: true })
      expect(
        states.filter(state => state !== 'busy'),
        'it may have been reading its log',
      ).toEqual(['away', 'ok'])
    })

    test('is given up while it hangs, and found again', soon, async () => {
      const server = await start()
      const { store, states } = await open(server.url(), { silentMs: 200 })
      await put(store)
      server.stop()

      const verbs = [store.claim(send()), store.find(crm, 'x'), store.settle({ ...crm, id: 'x' }, ended('accepted'))]
      for (const error of await Promise.all(verbs.map(refused))) expect(error).toEqual(unavailable('busy'))
      for (let n = 0; n < 100; n++) expect(await refused(store.claim(send())), 'at once').toEqual(unavailable('busy'))
      server.go()
      await back(store)
      expect(states.at(-1)).toBe('ok')
      expect(states.filter(state => state === 'ok')).toHaveLength(1)
    })

    test('has answered in time, although this process was held up and reads the answer later', async () => {
      const url = shared.fresh()
      const { store } = await open(url)
      const count = async (key: string) => store.count?.('requests', key, 60_000)
      await expect.poll(() => refused(count('first'))).toBeUndefined() // the server knows the script now
      const heldUntil = performance.now() + 200 // longer than a count may take
      const counting = count('k')
      const counted = () => shared.cli('-n', url.split('/').at(-1) ?? '', 'GET', 'afg:rate:requests:k')
      while (performance.now() < heldUntil || counted() !== '1') expect(performance.now()).toBeLessThan(heldUntil + soon.timeout) // the event loop stands still

      expect(await counting).toMatchObject({ count: 1 })
    })

    test('may be away from the start', async () => {
      const server = await start()
      await server.kill()
      const { store, states } = await open(server.url())

      expect(await refused(store.claim(send()))).toEqual(unavailable('away'))
      await server.restart()
      await back(store)
      expect(states).toEqual(['away', 'ok'])
    })

    test('may forget its scripts', async () => {
      const url = shared.fresh()
      const { store } = await open(url)
      await put(store)
      shared.cli('SCRIPT', 'FLUSH')

      expect(await Promise.all([store.claim(send()), store.claim(send()), store.list(crm, { limit: 0 })])).toMatchObject([
        { claimed: true },
        { claimed: true },
        [],
      ])
    })

    test('may be full: nothing new, but what runs is settled', async () => {
      const server = await start({ settings: { maxmemory: '3mb' } })
      const { store, states } = await open(server.url())
      const row = await put(store)
      const full = async () => {
        for (;;) await put(store, { reference: 'x'.repeat(10_000) })
      }

      expect(await refused(full())).toEqual(unavailable('full'))
      expect(await store.settle(row, ended('accepted'))).toMatchObject({ settled: true })
      await store.heartbeat('first').catch(() => {})
      expect(states, 'that other things get through is no news of claims').toEqual(['full'])
      server.cli('CONFIG', 'SET', 'maxmemory', '0')
      await back(store)
      expect(states).toEqual(['full', 'ok'])
    })

    test('is not taken for another store because it fails in another way', async () => {
      const server = await start()
      const { store, states } = await open(server.url(), { silentMs: 200 })
      server.stop()
      expect(await refused(store.claim(send()))).toEqual(unavailable('busy'))
      await server.kill()
      await expect.poll(() => refused(store.claim(send())), { interval: 20 }).toEqual(unavailable('away'))

      expect(states).toEqual(['busy'])
    })

    test('may set its clock back: no name is held, and nothing counted, for longer than was meant', async () => {
      const server = await start()
      const { store } = await open(server.url())
      await store.leases.acquire('poll:main', 'dead', 10_000)
      await store.count?.('requests', 'crm', 60_000)
      for (const key of ['afg:held:poll:main', 'afg:rate:requests:crm']) server.cli('PEXPIRE', key, '3600000') // by a clock that is an hour behind

      expect(await store.leases.acquire('poll:main', 'next', 10_000)).toBeUndefined()
      expect(Number(server.cli('PTTL', 'afg:held:poll:main'))).toBeLessThanOrEqual(10_000)
      expect((await store.count?.('requests', 'crm', 60_000))?.leftMs).toBeLessThanOrEqual(60_000)
    })

    test('may have become a replica', async () => {
      const [server, other] = [await start(), await start()]
      const { store, states } = await open(server.url())
      const row = await put(store)
      server.cli('REPLICAOF', '127.0.0.1', String(other.port))

      expect(await refused(store.settle(row, ended('accepted')))).toEqual(unavailable('readonly'))
      server.cli('REPLICAOF', 'NO', 'ONE')
      await back(store)
      expect(states).toContain('readonly')
      expect(states.at(-1)).toBe('ok')
    })

    test('may want a password that it does not get', async () => {
      const server = await start({ settings: { requirepass: 'fake-store-password' } })
      const at = (userinfo: string) => server.url().replace('//', `//${userinfo}@`)
      const right = await open(at(':fake-store-password'))
      const wrong = await open(at('default:fake-wrong-password'))
      const none = await open(server.url())
      const beside = shared.url().replace('//', '//gateway:fake-wrong-password@') // where others need none
      const several = await Promise.all(Array.from({ length: 10 }, () => open(beside))) // it depends on when its answers arrive

      expect(await put(right.store)).toBeDefined()
      for (const { store, states } of [wrong, none, ...several]) {
        expect(await refused(store.claim(send()))).toEqual(unavailable('denied'))
        expect(states).toEqual(['denied'])
      }
    })

    test('may lack the database, or the right to select it: then no other one is used', async () => {
      const server = await start({ settings: { databases: '16' } })
      server.cli('ACL', 'SETUSER', 'gateway', 'on', '>fake-store-password', '~afg:*', '+@all', '-select')
      for (const url of [server.url(16), server.url(3).replace('//', '//gateway:fake-store-password@')]) {
        const { store } = await open(url)
        expect(await refused(store.claim(send()))).toEqual(unavailable('denied'))
      }

      expect(server.cli('DBSIZE')).toBe('0')
    })

    test('may give us no more rights than we need', async () => {
      const server = await start()
      const rights =
        '~afg:* resetchannels +evalsha +eval +wait +info +config|get +select +@connection +get +set +setnx +del +exists +incr +incrby +decrby +hget +hset +hgetall +hincrby +zadd +zrem +zrange +zrangebyscore +zcard +sadd +srem +scard +smembers +srandmember +pttl +pexpire +hdel +hscan +xadd +xrange +xtrim +xdel +xread'
      expect(server.cli('ACL', 'SETUSER', 'gateway', 'on', '>fake-store-password', ...rights.split(' '))).toBe('OK')
      const clock = { ms: 1_000 }
      const { store, warnings } = await open(server.url().replace('//', '//gateway:fake-store-password@'), {
        now: () => clock.ms,
        monotonic: () => clock.ms,
      })
      await put(store, { idempotencyKey: 'k' }, 'accepted')
      await put(store, { idempotencyKey: 'free' }, 'not_sent')
      await put(store, { owner: 'dead' })

      await store.log.open('main')
      const heard: string[] = []
      store.log.watch(['main'], account => heard.push(account))
      await store.log.append('main', { states: [{ key: 'k', destination: '1', state: 's' }], events: [created('1')] })
      await expect.poll(() => heard).toContain('main')
      expect((await store.log.read('main', 0, 10)).events).toHaveLength(1)
      expect((await store.log.states('main')).states).toHaveLength(1)

      expect(await store.list(crm, { idempotencyKey: 'k', limit: 1 })).toHaveLength(1)
      expect(await removedFiles(store)).toEqual(['of-a-send'])
      expect(await store.secret()).toHaveLength(32)
      expect(await store.count?.('requests', 'crm', 1_000)).toMatchObject({ count: 1 })
      clock.ms += policy.leaseMs + policy.keepMs
      expect(await store.expireLeases()).toBe(1)
      expect(await store.deleteExpired()).toBe(2)
      expect(await store.forget('34600000000')).toEqual({ gone: 1, pending: 0 })
      expect(await store.dump()).toEqual([])
      expect(await store.check()).toMatchObject({ problems: [] })
      expect(warnings).toEqual([])
      server.cli('ACL', 'SETUSER', 'gateway', '-xadd')
      expect(await store.settle(await put(store), { ...ended('accepted'), late: true }), 'without its event').toEqual({ settled: true })
      server.cli('ACL', 'SETUSER', 'gateway', '-config')
      expect((await open(server.url().replace('//', '//gateway:fake-store-password@'))).warnings).toEqual([
        expect.stringContaining('CONFIG'),
      ])
    })

    test.for(['xadd', 'xrange', 'xtrim', 'xdel', 'hdel', 'hscan'])(
      'may keep %s from us: events are off, the ledger is not',
      async command => {
        const server = await start()
        const rights = ['on', '>fake-store-password', '~afg:*', '+@all', `-${command}`]
        expect(server.cli('ACL', 'SETUSER', 'gateway', ...rights)).toBe('OK')
        const { store, states } = await open(server.url().replace('//', '//gateway:fake-store-password@'))

        expect(await refused(store.log.open('main'))).toEqual(unavailable('denied'))
        await put(store, { idempotencyKey: 'k' }, 'accepted')
        expect(await removedFiles(store)).toEqual(['of-a-send'])
        expect(states).toEqual([])
      },
    )
  })

  describe('warnings', () => {
    test.for<[string, Record<string, string>, RegExp[]]>([
      ['none for a sound server', {}, []],
      ['of a server without a log', { appendonly: 'no' }, [/appendonly no.*sent again/]],
      ['of one that writes it later', { appendfsync: 'everysec' }, [/appendfsync everysec.*two seconds.*sent again/]],
      ['of one that never says write', { appendfsync: 'no' }, [/appendfsync no.*sent again/]],
      ['of one that evicts', { 'maxmemory-policy': 'allkeys-lru' }, [/allkeys-lru.*noeviction/]],
      ['none of one that evicts only keys with an expiry, which the ledger has not', { 'maxmemory-policy': 'volatile-lru' }, []],
      ['of one that has less memory than the ledger may take', { maxmemory: '100mb' }, [/STORE_MAX_MB.*sends/]],
      ['of everything at once', { appendonly: 'no', 'maxmemory-policy': 'allkeys-random' }, [/appendonly/, /allkeys/]],
    ])('%s', async ([, settings, expected]) => {
      const server = await start({ settings })
      const { warnings } = await open(server.url())

      expect(warnings).toEqual(expected.map(pattern => expect.stringMatching(pattern)))
    })

    test('are reported once, however often the server comes back', async () => {
      const server = await start({ settings: { appendfsync: 'everysec' } })
      const { store, warnings } = await open(server.url())
      await server.kill()
      await server.restart()
      await back(store)

      expect(warnings).toHaveLength(1)
    })
  })

  describe('TLS', () => {
    test('is checked: a certificate of an unknown CA is refused, and one of a known CA is not', async () => {
      const { key, cert } = selfSigned('localhost')
      const dir = mkdtempSync(join(tmpdir(), 'valkey-tls-'))
      onTestFinished(() => rmSync(dir, { recursive: true }))
      for (const [name, text] of Object.entries({ key, cert })) writeFileSync(join(dir, name), text)
      const files = { 'tls-cert-file': join(dir, 'cert'), 'tls-key-file': join(dir, 'key'), 'tls-auth-clients': 'no' }
      const server = await start({ tls: files })

      const { store, states } = await open(server.url())
      expect(await refused(store.claim(send()))).toEqual(unavailable('away'))
      expect(states).toEqual(['away'])
      const remote = await remoteStore(server.url(), ['env', `NODE_EXTRA_CA_CERTS=${join(dir, 'cert')}`])
      onTestFinished(() => remote.end())
      expect(await remote.store.claim(send())).toEqual({ claimed: true })
    })
  })

  describe('Sentinels', () => {
    test('know the primary, and the next one after its death: no claim is lost', async () => {
      const primary = await start()
      const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
      await following(primary)
      const sentinel = await start({ sentinelOf: primary.port })
      const away = await start()
      await away.kill() // one of several Sentinels may be away
      const url = `redis+sentinel://127.0.0.1:${away.port},127.0.0.1:${sentinel.port}/ours`
      const { store, warnings } = await open(url)
      expect(warnings).toEqual([expect.stringMatching(/min-replicas-to-write 0.*sent again/)])
      const rows = await Promise.all(Array.from({ length: 50 }, () => put(store)))
      await expect.poll(() => sentinel.cli('SENTINEL', 'replicas', 'ours'), { interval: 50 }).toContain(String(replica.port))
      await primary.kill()

      expect(await refused(store.claim(send()))).toEqual(unavailable('away'))
      await back(store)
      expect(await store.list(crm, { limit: 100 })).toHaveLength(rows.length)
      expect(replica.cli('ROLE')).toContain('master')
    })

    test('may not let us listen, which is reported', async () => {
      const primary = await start({ settings: { 'min-replicas-to-write': '1' } })
      const sentinel = await start({ sentinelOf: primary.port })
      sentinel.cli('ACL', 'SETUSER', 'gateway', 'on', '>fake-sentinel-password', '+@all', 'resetchannels')
      const credentials = '?sentinel_username=gateway&sentinel_password=fake-sentinel-password'
      const { warnings } = await open(`redis+sentinel://127.0.0.1:${sentinel.port}/ours${credentials}`)

      await expect.poll(() => warnings).toEqual([expect.stringContaining('subscribe')])
    })

    test(
      'make another one the primary on request: no claim is lost, although the former one takes writes for some time',
      soon,
      async () => {
        const primary = await start()
        const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
        await following(primary)
        const sentinel = await start({ sentinelOf: primary.port })
        await expect.poll(() => sentinel.cli('SENTINEL', 'replicas', 'ours'), { interval: 50 }).toContain(String(replica.port))
        const { store } = await open(`redis+sentinel://127.0.0.1:${sentinel.port}/ours`)
        await expect.poll(() => sentinel.cli('CLIENT', 'LIST'), { interval: 50 }).toContain('cmd=subscribe')
        const claimed: string[] = []
        const claim = async () => {
          const row = send()
          if ((await refused(store.claim(row))) === undefined) claimed.push(row.id)
          return claimed.at(-1) === row.id
        }
        const isLost = (id: string) => replica.cli('EXISTS', `afg:send:${id}`) === '0'
        await expect.poll(() => sentinel.cli('SENTINEL', 'FAILOVER', 'ours'), { interval: 50 }).toBe('OK')

        await expect.poll(async () => (await claim()) && replica.cli('ROLE'), { interval: 20, timeout: 30_000 }).toContain('master')
        expect(claimed.filter(isLost)).toEqual([])
      },
    )
  })

  describe('a replica', () => {
    test('that still receives the data delays no claim', async () => {
      const primary = await start({ settings: { 'repl-diskless-sync-delay': '600' } })
      const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
      await expect.poll(() => primary.cli('INFO', 'replication'), { interval: 50 }).toMatch(/slave0:.*state=wait_bgsave/)
      const { store, states } = await open(primary.url())

      expect(await store.claim(send())).toEqual({ claimed: true })
      expect(replica.cli('INFO', 'replication')).toContain('master_link_status:down')
      expect(states).toEqual([])
    })

    test('has a claim before it is answered; without it nothing is claimed, but what runs is settled', async () => {
      const primary = await start()
      const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
      await following(primary)
      const { store, states } = await open(primary.url())
      const claim = async (): Promise<NewSend> => {
        const row = send()
        if (!(await refused(store.claim(row)))) return row
        await back(store) // on a busy machine a replica may be as slow as one that is away
        return claim()
      }
      const rows = await Promise.all(Array.from({ length: 100 }, claim))
      const held = replica.cli('ZRANGE', 'afg:by:caller:crm', '0', '-1')
      expect(rows.filter(({ id }) => !held.includes(id))).toEqual([])
      states.length = 0

      replica.stop()
      expect(await refused(store.claim(send({ idempotencyKey: 'k' })))).toMatchObject({ cause: 'busy', mayHaveEffect: true })
      const settled = await store.settle(rows[0] ?? send(), ended('accepted'))
      expect(settled).toMatchObject({ settled: true })
      replica.go()
      await back(store)
      expect(states).toEqual(['busy', 'ok'])

      await replica.kill()
      await expect.poll(() => primary.cli('INFO', 'replication'), { interval: 50 }).toContain('connected_slaves:0')
      await back(store)
      expect(await store.claim(send()), 'none left to wait for').toEqual({ claimed: true })
    })

    test('that took over keeps what runs there from being queued again, although a connection still reads from the old primary', async () => {
      const primary = await start()
      const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
      await following(primary)
      const { url, leadTo, cut } = await openSwitch(primary.port)
      const { store } = await open(url)
      const row = send({ dueAt: 1_000, expiresAt: 9_000 })
      await store.claim(row, undefined, 'key.body')
      replica.cli('REPLICAOF', 'NO', 'ONE')
      await expect.poll(() => primary.cli('INFO', 'replication'), { interval: 50 }).toContain('connected_slaves:0')
      const { store: former } = await open(primary.url())
      const take = async (from: Store, owner: string) => (await from.takeDue(owner, 10)).due.map(({ row: { id } }) => id)
      expect(await take(former, 'first')).toEqual([row.id])
      await back(store)
      leadTo(replica.port)
      cut('writer')
      const { store: other } = await open(replica.url())
      expect(await take(other, 'second')).toEqual([row.id])
      await back(store)
      for (const one of await store.pendingOf('first')) await store.requeue(one.row, 1_000, one.attempts)

      expect(await take(other, 'second')).toEqual([])
    })

    test('that took over says what ends a send, although a connection still reads from the old primary', async () => {
      const primary = await start()
      const replica = await start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
      await following(primary)
      const { url, leadTo, cut } = await openSwitch(primary.port)
      const { store } = await open(url)
      const row = send({ dueAt: 1_000, expiresAt: 9_000 })
      await store.claim(row, undefined, 'key.body')
      replica.cli('REPLICAOF', 'NO', 'ONE')
      leadTo(replica.port)
      cut('writer')
      await back(store)
      const { store: other } = await open(replica.url())
      const alike = await put(other, {}, 'accepted')
      const ended: string[] = []
      const refuse = async ({ id }: SendRow) => {
        expect(ended).not.toContain(id) // over and over
        ended.push(id)
        await store.unqueue({ ...crm, id }, { state: 'not_sent', settledAt: 1_000, answer: '' })
      }

      expect(await endLostSends({ store, sends: { refuse }, keys: ['other'], timeoutMs: 10_000 })).toBe(1)
      expect((await store.conversation(alike, 0)).map(({ id }) => id)).toContain(alike.id)
      expect(await store.find(crm, alike.id), 'read from the old primary').toBeUndefined()
    })
  })
})
