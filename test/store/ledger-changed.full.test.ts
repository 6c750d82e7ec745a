import { copyFileSync, renameSync, rmSync } from 'node:fs'
import { backup, DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { type TestGateway, test } from '../gateway.ts'
import { policy } from './sends.ts'

const remove = (file: string) => {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
}
async function copyOf(file: string) {
  const db = new DatabaseSync(file)
  await backup(db, `${file}.old`)
  db.close()
}

/** What happens to the ledger; `before` is done before the send that must not be repeated. */
const changes: Record<string, { before?: (file: string) => Promise<void>; change: (file: string) => void | Promise<void> }> = {
  'the file is deleted': { change: remove },
  'an old copy is moved into its place': {
    before: copyOf,
    change(file) {
      remove(file)
      renameSync(`${file}.old`, file)
    },
  },
  'an old copy is moved over it, beside its log': { before: copyOf, change: file => renameSync(`${file}.old`, file) },
  'an old copy is written into the same file': {
    before: copyOf,
    change(file) {
      for (const suffix of ['-wal', '-shm']) rmSync(file + suffix)
      copyFileSync(`${file}.old`, file)
    },
  },
  'an old copy is restored through SQLite': {
    before: copyOf,
    async change(file) {
      const old = new DatabaseSync(`${file}.old`)
      await backup(old, file)
      old.close()
    },
  },
}

const say = (gateway: TestGateway, key?: string) =>
  gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' }, key === undefined ? {} : { 'idempotency-key': key })
const refusal = { status: 503, json: { code: 'ledger-changed', outcome: 'not_applied', retry: 'no' } }

describe.for(Object.entries(changes))('A ledger that changed under a running gateway: %s', ([, { before: prepare, change }]) => {
  test('never sends a key twice, and takes keys again once that is accepted', async ({ start, sandbox, ledgerFile: file }) => {
    const gateway = await start({ env: { STORE_URL: `sqlite:${file}` } })
    await say(gateway, 'first')
    await prepare?.(file)
    await say(gateway, 'k')
    await change(file)

    expect(await say(gateway, 'k')).toMatchObject(refusal)
    expect(await say(gateway, 'new')).toMatchObject(refusal)
    expect(sandbox.sent).toHaveLength(2)
    expect((await say(gateway)).status).toBe(201)
    expect((await gateway.get('/health/ready')).json).toMatchObject({ status: 'ready', store: 'changed' })
    await gateway.logged(line => line.level === 50 && /ledger changed/.test(String(line.msg)))

    const operator = await openStore(`sqlite:${file}`, policy)
    await operator.accept()
    await operator.close()
    await expect.poll(async () => (await say(gateway, 'new')).status).toBe(201)
    await expect.poll(async () => (await gateway.get('/health/ready')).json.store).toBe('ok')
  })

  if (!prepare) return // there is no old copy

  test('sends nothing that an old copy has in its queue', async ({ start, sandbox, ledgerFile: file }) => {
    const gateway = await start({ env: { STORE_URL: `sqlite:${file}`, QUEUE_KEY: Buffer.alloc(32, 1).toString('base64') } })
    const sendAt = new Date(Date.now() + 2_000).toISOString()
    const { json } = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello', sendAt })
    await prepare(file)
    const state = async () => (await gateway.get(`/sends/${json.id}`)).json.state
    await expect.poll(state).toBe('accepted')
    await change(file)
    await gateway.logged(line => line.level === 50 && /ledger changed/.test(String(line.msg)))
    await say(gateway) // what the queue had given would have gone before

    expect(sandbox.sent).toHaveLength(2)
  })
})

test('a restart accepts the ledger that is there, and warns if it is new', async ({ start, ledgerFile: file }) => {
  const first = await start({ env: { STORE_URL: `sqlite:${file}` } })
  await say(first, 'k')
  await first.drain()
  remove(file)
  const second = await start({ env: { STORE_URL: `sqlite:${file}` } })

  await second.logged(line => line.level === 40 && /the ledger is new and empty/.test(String(line.msg)))
  expect((await say(second, 'k')).status).toBe(201)
})
