import { mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../gateway.ts'
import { ask, issue, messages, sayWith, told } from './issuing.ts'

test('tokens read on while the ledger is away, and new ones are issued', async ({ start, ledgerFile: file }) => {
  const gateway = await start({ env: { STORE_URL: `sqlite:${file}` } })
  const token = await issue(gateway)
  renameSync(file, `${file}.aside`)
  mkdirSync(file)
  await expect.poll(async () => (await gateway.get('/health/ready')).json.store).toBe('unavailable')

  for (const key of [token, await issue(gateway)]) {
    expect((await gateway.request(messages, { key })).status).toBe(200)
    expect(told(await sayWith(gateway, key, 'k'))).toEqual([503, 'store-unavailable'])
  }
  rmdirSync(file)
  renameSync(`${file}.aside`, file)
  await expect.poll(async () => (await sayWith(gateway, token, 'k')).status).toBe(201)
})

test('tokens cannot be judged before the ledger was ever read', async ({ start, ledgerFile: file }) => {
  writeFileSync(file, '?'.repeat(8_192))
  const gateway = await start({ env: { STORE_URL: `sqlite:${file}` } })

  expect(await ask(gateway)).toMatchObject({ status: 503, json: { code: 'store-unavailable', retry: 'yes' } })
  const bearer = 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl'
  expect(told(await gateway.request(messages, { key: bearer }))).toEqual([503, 'store-unavailable'])
  expect((await gateway.get(messages)).status).toBe(200)
})

test('tokens of a ledger that was replaced are worth nothing, under the running gateway and after a restart', async ({
  start,
  sandbox,
  ledgerFile: file,
}) => {
  const env = { STORE_URL: `sqlite:${file}` }
  const gateway = await start({ env })
  const token = await issue(gateway)
  expect((await gateway.request(messages, { key: token })).status).toBe(200)
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })

  await expect.poll(async () => told(await gateway.request(messages, { key: token }))).toEqual([401, 'unauthenticated'])
  const next = await issue(gateway)
  expect((await gateway.request(messages, { key: next })).status).toBe(200)
  await gateway.drain()
  const again = await start({ env })
  expect(told(await again.request(messages, { key: token }))).toEqual([401, 'unauthenticated'])
  expect((await again.request(messages, { key: next })).status).toBe(200)
  expect(sandbox.sent).toEqual([])
})
