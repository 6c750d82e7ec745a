import { copyFileSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { type TestGateway, test } from '../gateway.ts'
import { policy, send } from './sends.ts'

/** A way for a ledger to be out of order, and back. */
type Trouble = {
  fault: string
  env?: Record<string, string>
  begin(file: string): void | Promise<void>
  end(file: string): void
  readable: boolean
}

const locks: DatabaseSync[] = []
const aside = (file: string) => `${file}.aside`

const troubles: Record<string, Trouble> = {
  'a directory in its place': {
    fault: 'io',
    begin(file) {
      renameSync(file, aside(file))
      mkdirSync(file)
    },
    end(file) {
      rmdirSync(file)
      renameSync(aside(file), file)
    },
    readable: false,
  },
  'somebody else writes to it for too long': {
    fault: 'busy',
    begin(file) {
      const db = new DatabaseSync(file)
      db.exec('BEGIN IMMEDIATE')
      locks.push(db)
    },
    end: () => locks.pop()?.close(),
    readable: true,
  },
  'it is over its size': {
    fault: 'limit',
    env: { STORE_MAX_MB: '1' },
    async begin(file) {
      const store = await openStore(`sqlite:${file}`, policy)
      await Promise.all(Array.from({ length: 6_000 }, () => store.claim(send({ caller: 'filler' }))))
      await store.close()
    },
    end(file) {
      const db = new DatabaseSync(file)
      db.exec("DELETE FROM sends WHERE caller = 'filler'")
      db.close()
    },
    readable: true,
  },
}

const say = (gateway: TestGateway, key: string) =>
  gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' }, { 'idempotency-key': key })
const health = async (gateway: TestGateway) => {
  const { status, json } = await gateway.get('/health/ready')
  return { status, store: json.store }
}

describe.for(Object.entries(troubles))('A ledger out of order: %s', ([, { fault, env, begin, end, readable }]) => {
  test('stops sends and nothing else, says so, and heals', async ({ start, sandbox, ledgerFile: file }) => {
    const gateway = await start({ env: { STORE_URL: `sqlite:${file}`, ...env } })
    const before = await say(gateway, 'before')
    await begin(file)
    const refused = await say(gateway, 'k')
    const line = await gateway.logged(line => line.level === 50)

    expect(refused).toMatchObject({ status: 503, json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' } })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect(line).toMatchObject({ fault })
    expect(await health(gateway)).toEqual({ status: 200, store: 'unavailable' })
    expect((await gateway.get('/channels')).status).toBe(200)
    expect((await gateway.get(`/sends/${before.json.id}`)).status).toBe(readable ? 200 : 503)
    expect(sandbox.sent).toHaveLength(1)

    end(file)
    await expect.poll(async () => (await say(gateway, 'k')).status).toBe(201)
    await expect.poll(() => health(gateway)).toEqual({ status: 200, store: 'ok' })
    await gateway.logged(line => line.level === 30 && /ledger available again/.test(String(line.msg)))
    expect((await say(gateway, 'before')).text).toBe(before.text)
    expect(sandbox.sent).toHaveLength(2)
  })
})

test('a gateway starts on a ledger out of order, and takes sends once it is whole', async ({ start, sandbox, ledgerFile: file }) => {
  const first = await start({ env: { STORE_URL: `sqlite:${file}` } })
  const before = await say(first, 'before')
  await first.drain()
  const whole = readFileSync(file)
  writeFileSync(file, Buffer.from(whole).fill('?', 0, 4_096))
  const gateway = await start({ env: { STORE_URL: `sqlite:${file}` } })

  expect(await health(gateway)).toEqual({ status: 200, store: 'unavailable' })
  expect(await say(gateway, 'k')).toMatchObject({ status: 503, json: { code: 'store-unavailable' } })
  writeFileSync(file, whole)
  expect((await say(gateway, 'before')).text).toBe(before.text)
  await expect.poll(() => health(gateway)).toEqual({ status: 200, store: 'ok' })
  expect(sandbox.sent).toHaveLength(1)
})

test('a ledger that was taken away is begun anew, and a copy of it is good for replays', async ({ start, sandbox, ledgerFile: file }) => {
  const gateway = await start({ env: { STORE_URL: `sqlite:${file}` } })
  const before = await say(gateway, 'before')
  await gateway.drain()
  copyFileSync(file, aside(file))
  rmSync(file)
  const other = await start({ env: { STORE_URL: `sqlite:${aside(file)}` } })

  expect((await say(other, 'before')).text).toBe(before.text)
  expect(sandbox.sent).toHaveLength(1)
})
