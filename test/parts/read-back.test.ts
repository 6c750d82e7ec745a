import { createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { unobserved } from '../../src/events.ts'
import { connectReadBack } from '../../src/parts/read-back.ts'
import { textDigest } from '../../src/sends/request.ts'
import { Sends } from '../../src/sends/sends.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { listen } from '../afilnet/listeners.ts'
import { environment } from '../gateway.ts'
import { ended, send } from '../store/sends.ts'
import { withStore } from '../store/with-store.ts'

const test = withStore(options => openStore('sqlite::memory:', options), 1_000_000)
/** An account whose time zone is not known: only what its poller has seen proves anything. */
const { accounts, ...config } = readConfig({
  ...environment({ url: 'http://127.0.0.1:9', user: 'demo@sandbox.invalid' }),
  EVENTS_CHANNELS: '*',
})

function connect(store: Store, polls: boolean, of = accounts) {
  const sends = new Sends({ store, base: '', timeoutMs: 5_000 })
  const upstream = createUpstream({ ...config, accounts: of })
  const more = { holds: () => polls, readBack: true, observe: unobserved, timeoutMs: 5_000 }
  return connectReadBack({ store, sends, upstream, accounts: of, ...more })
}

describe('The search for unknown sends of an account without a time zone', () => {
  test('is left to the process that polls it', async ({ store, clock }) => {
    const digest = textDigest('Hello', createSecretKey(await store.secret()))
    const unknown = send({ account: 'default', textDigest: digest, createdAt: clock.ms })
    await store.claim(unknown)
    await store.settle(unknown, ended('unknown', clock.ms))
    clock.ms += 3_000
    await connect(store, false).lookUp()
    const [left] = await store.takeLookups(['default'], 1)
    expect(left).toMatchObject({ id: unknown.id })
    clock.ms += 30_000
    await connect(store, true).lookUp()

    expect(await store.takeLookups(['default'], 1)).toEqual([])
  })
})

test('A conversation is not read for a send of another user of Afilnet, who has other conversations', async ({ store, clock }) => {
  let reads = 0
  const server = createServer((_, response) => {
    reads++
    response.end('{}')
  })
  const url = `http://127.0.0.1:${await listen(server)}/`
  const { accounts } = readConfig(environment({ url, user: 'demo@sandbox.invalid' }))
  const { default: account = expect.fail() } = accounts
  const readBack = connect(store, false, { default: { ...account, timezone: 'UTC' } })
  const unknown = send({ account: 'default', user: account.user, textDigest: 'd', createdAt: clock.ms })
  await store.claim(unknown)
  await store.settle(unknown, ended('unknown', clock.ms))

  readBack.useAccounts({ default: { ...account, timezone: 'UTC', user: 'another@sandbox.invalid' } })
  clock.ms += 3_000
  await readBack.lookUp()
  expect(reads).toBe(0)
  readBack.useAccounts({ default: { ...account, timezone: 'UTC' } })
  clock.ms += 30_000
  await readBack.lookUp()

  expect(reads).toBe(1)
})

describe('What a poll has read', () => {
  test('is read again if the ledger could not take it', async ({ store }) => {
    const message = { messageId: '1', message: 'Hello', status: 'SENT', sent: true, datetime: null, destination: '34600000000' }
    const read = {
      ...{ account: 'default', platform: 'whatsapp', platformId: '100', destination: '34600000000' },
      ...{ absentAt: 0, beganAt: 1, endedAt: 2 },
      rows: [{ messageId: '1', change: 'message.created' as const, message: { ...message, direction: 'out' as const } }],
    }
    const { hooks } = connect(store, true)
    await hooks.onRead(read)
    await store.close()

    await expect(hooks.onRead(read)).rejects.toMatchObject({ name: 'StoreUnavailableError' })
  })
})
