import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createClock } from '../../src/store/clock.ts'
import { openStore } from '../../src/store/open.ts'
import type { NewSend } from '../../src/store/store.ts'
import { crm, ended, policy, send } from './sends.ts'

const minute = 60_000
const day = 86_400_000

/** Both clocks of a machine; `pass` moves both, `jump` the wall clock alone. */
function machine() {
  const clocks = { wall: 1_000 * day, monotonic: 5_000 }
  return {
    now: () => clocks.wall,
    monotonic: () => clocks.monotonic,
    pass(ms: number) {
      clocks.wall += ms
      clocks.monotonic += ms
    },
    jump(ms: number) {
      clocks.wall += ms
    },
  }
}
/** A ledger on that machine with a send that ended just now. */
async function ledger(clocks = machine(), url = 'sqlite::memory:') {
  const store = await openStore(url, { ...policy, now: clocks.now, monotonic: clocks.monotonic })
  const row = send({ idempotencyKey: 'k', createdAt: clocks.now() })
  await store.claim(row)
  return { ...clocks, clocks, store, row, end: () => store.settle(row, ended('accepted', clocks.now())) }
}

describe('A wall clock that jumps', () => {
  test.for([8 * day, 40 * day, -8 * day])('by %d ms, and back a minute later, forgets no key', async ms => {
    const { store, row, end, pass, jump } = await ledger()
    await end()
    pass(11 * minute)
    jump(ms)
    for (let seconds = 0; seconds < 60; seconds += 10) {
      expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { id: row.id } })
      expect(await store.deleteExpired()).toBe(0)
      pass(10_000)
    }
    jump(-ms)

    expect(await store.claim(send({ idempotencyKey: 'k' }))).toMatchObject({ claimed: false, existing: { id: row.id } })
    expect(await store.deleteExpired()).toBe(0)
    await store.close()
  })
})

test('Rows expire once a new time has lasted for ten minutes', async () => {
  const { store, end, pass, jump } = await ledger()
  await end()
  for (const days of [9, -1]) {
    jump(days * day)
    await store.find(crm, 'x') // notices
  }
  pass(11 * minute)

  expect(await store.deleteExpired()).toBe(1)
  await store.close()
})

test('A process that starts while the clock is far behind ends sends by the time that the ledger remembers', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'clock-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const url = `sqlite:${join(dir, 'ledger.sqlite')}`
  const clocks = machine()
  const first = await ledger(clocks, url)
  await first.store.heartbeat('a')
  await first.store.close()
  clocks.jump(-400 * day)
  const behind = await openStore(url, { ...policy, ...clocks })
  const [kept, lost] = ['x', 'y'].map(idempotencyKey => send({ idempotencyKey, createdAt: clocks.now() })) as [NewSend, NewSend]
  await behind.claim(kept)
  await behind.settle(kept, ended('accepted', clocks.now()))
  clocks.pass(minute)
  await behind.claim(lost)
  await behind.release(lost.owner)
  await behind.close()
  clocks.jump(400 * day)
  const right = await openStore(url, { ...policy, ...clocks })
  clocks.pass(11 * minute)

  expect(await right.deleteExpired()).toBe(0)
  for (const { id, idempotencyKey = '' } of [kept, lost])
    expect(await right.claim(send({ idempotencyKey }))).toMatchObject({ claimed: false, existing: { id } })
  await right.close()
})

test('A ledger that remembers a time ahead is put right by a process whose clock has been right for ten minutes', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'clock-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const url = `sqlite:${join(dir, 'ledger.sqlite')}`
  const clocks = machine()
  clocks.jump(30 * day)
  for (const leap of [-30 * day, 0]) {
    const store = await openStore(url, { ...policy, ...clocks })
    clocks.pass(11 * minute)
    await store.heartbeat('a')
    await store.close()
    clocks.jump(leap)
  }
  const { store, row, end } = await ledger(clocks, url)
  await end()

  expect(await store.find(crm, row.id)).toMatchObject({ settledAt: clocks.now() })
  await store.close()
})

test('A process that starts under a clock that is ahead counts from the time that the ledger remembers', () => {
  const { now, monotonic, pass, jump } = machine()
  const last = now()
  jump(8 * day)
  const clock = createClock(now, monotonic)
  clock.anchor(last)
  pass(minute)

  expect(clock.read()).toEqual({ now: now(), trusted: last + minute, latest: now(), mayDelete: false, mayExpireLeases: true })
  pass(9 * minute)
  expect(clock.read()).toMatchObject({ trusted: now(), mayDelete: true })
})

test('A jump moves the wall clock at once, and nothing by which rows expire or sends end', () => {
  const { now, monotonic, pass, jump } = machine()
  const clock = createClock(now, monotonic)
  pass(11 * minute)
  const before = now()
  jump(day)

  expect(clock.read()).toEqual({ now: now(), trusted: before, latest: before, mayDelete: false, mayExpireLeases: false })
})
