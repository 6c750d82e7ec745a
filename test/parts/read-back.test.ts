import { createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import { v7 } from 'uuid'
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

function connect(store: Store, polls: boolean, of = accounts, readBack = true) {
  const sends = new Sends({ store, base: '', timeoutMs: 5_000 })
  const upstream = createUpstream({ ...config, accounts: of })
  const more = { holds: () => polls, readBack, observe: unobserved, timeoutMs: 5_000 }
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
  const message = { messageId: '1', message: 'Hello', status: 'SENT', sent: true, datetime: null, destination: '34600000000' }
  const chat = { account: 'default', platform: 'whatsapp', platformId: '100', destination: '34600000000' }
  const rowsWith = (change: 'message.created' | 'message.updated') => [
    { messageId: '1', change, message: { ...message, direction: 'out' as const } },
  ]

  test.for([
    ['settles the send whose text a new row has', { state: 'accepted' }],
    ['settles none by a row that was there before', { change: 'message.updated' }],
    ['settles neither of two sends that the row may be', { sends: 2 }],
    ['settles none where unknown sends are not looked for', { isOn: false }],
  ] as const)('%s', async ([, given], { store, clock }) => {
    clock.ms = Date.now()
    const { isOn, sends, change, state } = { isOn: true, sends: 1, change: 'message.created', state: 'unknown', ...given } as const
    const { hooks } = connect(store, true, accounts, isOn)
    const digest = textDigest('Hello', createSecretKey(await store.secret()))
    const of = { account: 'default', user: String(accounts.default?.user), textDigest: digest, createdAt: clock.ms }
    const unknown = Array.from({ length: sends }, () => send({ ...of, id: v7() }))
    for (const row of unknown) {
      await store.claim(row)
      await store.settle(row, ended('unknown', clock.ms))
    }

    await hooks.onRead({ ...chat, absentAt: clock.ms, beganAt: clock.ms + 1_000, endedAt: clock.ms + 2_000, rows: rowsWith(change) })

    const found = await Promise.all(unknown.map(({ id }) => store.find({ caller: 'crm', account: 'default' }, id)))
    expect(found.map(row => row?.state)).toEqual(Array(sends).fill(state))
  })

  test('is read again if the ledger could not take it', async ({ store }) => {
    const read = { ...chat, absentAt: 0, beganAt: 1, endedAt: 2, rows: rowsWith('message.created') }
    const { hooks } = connect(store, true)
    await hooks.onRead(read)
    await store.close()

    await expect(hooks.onRead(read)).rejects.toMatchObject({ name: 'StoreUnavailableError' })
  })
})
