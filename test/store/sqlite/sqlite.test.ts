import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { openFile } from '../../../src/store/sqlite/file.ts'
import { comeAndGo } from '../come-and-go.ts'
import { storeContract } from '../contract.ts'
import { created } from '../event-contract.ts'
import { queueContract } from '../queue-contract.ts'
import { crm, ended, policy, send } from '../sends.ts'
import { refused, test, unavailable } from '../stores.ts'

for (const contract of [storeContract, queueContract]) contract('sqlite in memory', options => openStore('sqlite::memory:', options))

describe('the worker', () => {
  test('however many arrive together, no transaction has more than 512 of them', async ({ open, path }) => {
    const store = await open()
    const before = commitsIn(path)
    await Promise.all(Array.from({ length: 1_536 }, () => store.claim(send())))

    expect(commitsIn(path) - before).toBeGreaterThanOrEqual(3)
  })

  test('writes that arrive together share their transactions', async ({ open, path }) => {
    const store = await open()
    const before = commitsIn(path)
    await Promise.all(Array.from({ length: 1_000 }, () => store.claim(send())))

    expect(commitsIn(path) - before).toBeLessThan(50)
  })

  test('each write is on the disk when it is answered', async ({ open, path, dir }) => {
    const store = await open()
    const row = send()
    await store.claim(row)
    const copy = join(dir, 'copy.sqlite')
    for (const suffix of ['', '-wal']) copyFileSync(path + suffix, copy + suffix)

    const copied = await open({ path: copy })
    expect(await copied.find(crm, row.id)).toMatchObject({ state: 'pending' })
    const file = openFile(path, 1_000)
    expect(file.row('PRAGMA synchronous'), 'FULL: a loss of power would take what the system has yet to write').toEqual([2])
    file.close()
  })

  test('begins under a clock that is ahead, and still holds each key', async ({ open }) => {
    const before = await open({ now: () => 1_000 })
    const row = send({ idempotencyKey: 'k' })
    await before.claim(row)
    await before.settle(row, ended('accepted'))
    await before.heartbeat('first')
    const later = await open({ now: () => 2 * policy.keepMs })

    expect(await later.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false })
    expect(await later.find(crm, row.id), 'by another thread').toMatchObject({ state: 'accepted' })
  })

  test('keeps the first events after a long pause for as long as any others', async ({ open }) => {
    const [clock, hour] = [{ ms: 1_000_000_000 }, 3_600_000]
    const clocks = { now: () => clock.ms, monotonic: () => clock.ms }
    const before = await open(clocks)
    await before.heartbeat('first')
    await before.close()
    clock.ms += 100 * hour
    const { log } = await open(clocks)
    await log.open('main')
    await log.append('main', { events: [created('1', { at: clock.ms })] })
    clock.ms += hour

    expect(await log.trim(72 * hour)).toBe(0)
    clock.ms += 72 * hour
    expect(await log.trim(72 * hour)).toBe(1)
  })

  test('leaves no row behind of what is gone', async ({ open, path }) => {
    const clock = { ms: 1_000 }
    const store = await open({ now: () => clock.ms, monotonic: () => clock.ms })
    await comeAndGo(store, clock)

    const file = openFile(path, 1_000)
    const tables = file.rows(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`).map(String)
    const left = tables.filter(table => Number(file.row(`SELECT count(*) FROM ${table}`)) > 0)
    expect(left.sort()).toEqual(['fences', 'ledger', 'mediaUsage'])
    file.close()
  })

  test('a dead worker fails what it had, and the next call has another', async ({ open, states }) => {
    const born = new Promise<Worker>(resolve => process.once('worker', resolve))
    const store = await open()
    const row = send()
    await store.claim(row)
    const cut = Array.from({ length: 50 }, () => refused(store.claim(send())))
    await (await born).terminate()

    expect(await Promise.all(cut)).toContainEqual(unavailable('worker'))
    expect(await store.claim(send())).toEqual({ claimed: true })
    expect(await store.find(crm, row.id)).toMatchObject({ state: 'pending' })
    expect(states).toEqual(['worker', 'ok'])
  })

  test('does alone what every gateway asks now and then', async ({ open }) => {
    let born = 0
    const count = () => void born++
    process.on('worker', count)
    onTestFinished(() => void process.off('worker', count))
    const store = await open()
    await store.backlog()
    await store.deleteExpired()
    await store.log.trim(1_000, 'unused')
    await store.log.accounts()
    await store.deliveries.deleteFailed(1_000)

    expect(born).toBe(1)
  })
})

/** How many transactions stand in the log of a file: the last page of each says how large the file is then. */
function commitsIn(path: string) {
  const log = readFileSync(`${path}-wal`)
  const pageBytes = log.readUInt32BE(8)
  const salt = log.readBigUInt64BE(16)
  let commits = 0
  for (let at = 32; at < log.length && log.readBigUInt64BE(at + 8) === salt; at += 24 + pageBytes)
    commits += Number(log.readUInt32BE(at + 4) > 0)
  return commits
}
