import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { created } from '../event-contract.ts'
import { crm, policy, send } from '../sends.ts'
import { refused, test, unavailable } from '../stores.ts'

describe('several processes on one file', () => {
  test('exactly one of 50 claimants wins each key', async ({ remote }) => {
    const remotes = await Promise.all([remote(), remote()])
    const keys = Array.from({ length: 20 }, (_, n) => `k${n}`)
    const claims = remotes.flatMap(({ store }) =>
      Array.from({ length: 25 }, () => keys.map(async key => ({ key, ...(await store.claim(send({ idempotencyKey: key }))) }))),
    )

    const won = (await Promise.all(claims.flat())).filter(({ claimed }) => claimed)
    expect(won.map(({ key }) => key).sort()).toEqual(keys.sort())
  })

  test('a lease passes on at once when its process is gone, and not before', async ({ remote, open }) => {
    const [one, here] = [await remote(), await open()]
    const fence = await one.live.acquire('poll:main', 'a', 60_000)
    const before = await here.leases.acquire('poll:main', 'b', 60_000)
    await one.end('SIGKILL')

    expect(before).toBeUndefined()
    expect(await here.leases.acquire('poll:main', 'b', 60_000)).toBeGreaterThan(Number(fence))
  })

  test('a lease passes on at once to a container that starts again, with the name and number of the one before', async ({ path, open }) => {
    const here = await open()
    const fence = await here.leases.acquire('poll:main', 'a', 60_000)
    const db = new DatabaseSync(path)
    db.prepare('UPDATE fences SET process = ?').run(`${hostname()} ${process.pid} before`)
    db.close()

    expect(await here.leases.acquire('poll:main', 'b', 60_000)).toBeGreaterThan(Number(fence))
  })

  test('events of one process wake the other', async ({ remote, open }) => {
    const [one, here] = [await remote(), await open()]
    await here.log.open('main')
    const heard: string[] = []
    await expect.poll(() => here.log.read('main', 0, 1)).toMatchObject({ events: [] })
    const stop = here.log.watch(['main'], account => heard.push(account))
    await expect.poll(() => heard.length).toBe(1)
    await one.live.append('main', { events: [created('1')] })

    await expect.poll(() => heard.length).toBe(2)
    stop()
  })

  test('share one secret, in whichever order they ask', async ({ remote, open }) => {
    const [one, two] = await Promise.all([remote(), remote()])
    const secrets = await Promise.all([one.store.secret(), two.store.secret(), (await open()).secret()])

    expect(new Set(secrets.map(secret => Buffer.from(secret).toString('hex'))).size).toBe(1)
  })

  test('what a killed one has answered is there, whole, and ends as unknown', async ({ remote, open }) => {
    for (let round = 0; round < 3; round++) {
      const { store, end } = await remote()
      const answered: string[] = []
      const enough = Promise.withResolvers<void>()
      for (let n = 0; n < 3_000; n++) {
        const row = send({ owner: `killed-${round}` })
        void store.claim(row).then(() => answered.push(row.id) === 500 && enough.resolve())
      }
      await enough.promise
      await end('SIGKILL')

      const survivor = await open({ now: () => Date.now() + policy.leaseMs })
      expect((await survivor.check()).problems).toEqual([])
      const states = await Promise.all(answered.map(async id => (await survivor.find(crm, id))?.state))
      expect(states).toEqual(Array(answered.length).fill('pending'))
      expect(await survivor.expireLeases()).toBeGreaterThanOrEqual(answered.length)
      expect(await survivor.expireLeases()).toBe(0)
      await survivor.close()
    }
  })

  test('a beating one keeps its sends, and loses them once it is dead', async ({ remote, open }) => {
    const { store, end } = await remote()
    const row = send({ owner: 'remote' })
    await store.claim(row)
    const clock = { ms: Date.now() + policy.leaseMs - 2_000 }
    const other = await open({ now: () => clock.ms, monotonic: () => clock.ms })

    expect(await other.expireLeases()).toBe(0)
    await end()
    clock.ms += 2_000 + policy.leaseMs
    expect(await other.expireLeases()).toBe(1)
    expect(await other.find(crm, row.id)).toMatchObject({ state: 'unknown', settledAt: clock.ms })
  })

  test('a lock held elsewhere is waited for in vain without blocking the event loop, and then gone', async ({ path, open, states }) => {
    const store = await open({ busyMs: 200 })
    const program = `const { DatabaseSync } = require('node:sqlite'); const db = new DatabaseSync(${JSON.stringify(path)});
      db.exec('BEGIN EXCLUSIVE'); process.stdout.write('locked'); process.stdin.resume()`
    const holder = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(holder.stdout, 'data')
    let turns = 0
    const turning = setInterval(() => turns++, 1)

    expect(await refused(store.claim(send()))).toEqual(unavailable('busy'))
    clearInterval(turning)
    expect(turns).toBeGreaterThan(20)
    expect(await store.list(crm, { limit: 1 })).toEqual([])
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    expect(await store.claim(send())).toEqual({ claimed: true })
    expect(states).toEqual(['busy', 'ok'])
  })

  test('a claim that hangs may have its effect later; one that waits behind it, or comes after it, has none', async ({ path, open }) => {
    const store = await open({ busyMs: 60_000, silentMs: 500 })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    const row = send()
    const hangs = refused(store.claim(row))
    await new Promise(resolve => setImmediate(resolve))
    const waits = refused(store.claim(send()))

    expect(await hangs).toMatchObject({ cause: 'busy', mayHaveEffect: true })
    expect(await waits).toMatchObject({ cause: 'busy', mayHaveEffect: false })
    expect(await refused(store.claim(send()))).toMatchObject({ cause: 'busy', mayHaveEffect: false })
    other.close()
    await expect.poll(async () => (await store.list(crm, { limit: 9 })).map(({ id }) => id)).toEqual([row.id])
  })
})
