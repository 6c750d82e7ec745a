import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { openStore } from '../../src/store/open.ts'
import { canaries, environment, hold, type TestGateway, test } from '../gateway.ts'
import { policy } from '../store/sends.ts'
import { chat, error, hello, keyed, other, replay, say, settled } from './sending.ts'

const key = Buffer.alloc(32, 7).toString('base64')
const env = { QUEUE_KEY: key }
const waiting = { ...keyed, prefer: 'respond-async' }
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString()
/** Has the wall clock go on only while the test polls, or where it sets it. */
const stopClock = () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
}
/** As a client does that names a content type on every request. */
const cancel = (gateway: TestGateway, id: string) =>
  gateway.request(`/sends/${id}`, { method: 'DELETE', headers: { 'content-type': 'application/json' } })

describe('Prefer: respond-async', () => {
  test('queues the send, which goes at once, and its key replays how it ended', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const release = hold(sandbox)
    const reply = await say(gateway, waiting)

    expect(reply).toMatchObject({ status: 202, json: { state: 'queued', idempotencyKey: 'order-4711', sendAt: expect.any(String) } })
    expect(reply.headers).toMatchObject({ location: `/sends/${reply.json.id}`, 'preference-applied': 'respond-async' })
    expect(reply.headers).not.toHaveProperty('idempotency-replayed')
    await sandbox.called(1)
    expect(await say(gateway, waiting)).toMatchObject({
      status: 202,
      json: { state: 'pending' },
      headers: { 'idempotency-replayed': 'true' },
    })
    release()
    await settled(gateway, reply.json.id, 'accepted')
    expect(replay(await say(gateway))).toMatchObject({ status: 201, replayed: 'true' })
    expect(await say(gateway, waiting, { message: 'Another' })).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } })
    expect(sandbox.sent).toMatchObject([{ message: 'Hello', destination: '34600000000' }])
  })

  test('replays a refusal of Afilnet', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    sandbox.answer({ body: error('CHANNEL_NOT_FOUND') })
    const { id } = (await say(gateway, waiting)).json
    await settled(gateway, id, 'rejected')

    expect(await say(gateway, waiting)).toMatchObject({
      status: 404,
      json: { code: 'channel-not-found' },
      headers: { 'idempotency-replayed': 'true' },
    })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('attempts again only after a failure that is safe to repeat', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    sandbox.answer({ status: 429 })
    const { id } = (await say(gateway, waiting)).json
    await settled(gateway, id, 'accepted')
    expect(sandbox.calls).toHaveLength(2)

    sandbox.answer({ fault: 'drop' })
    const lost = (await say(gateway, { prefer: 'respond-async' })).json.id
    await settled(gateway, lost, 'unknown')
    sandbox.answer({ body: error('NO_CREDITS') })
    const poor = (await say(gateway, { ...waiting, 'idempotency-key': 'k' })).json.id
    await settled(gateway, poor, 'not_sent')
    expect(sandbox.calls).toHaveLength(4)
    expect((await say(gateway, { ...waiting, 'idempotency-key': 'k' })).json.id).not.toBe(poor)
  })

  test('is 501 without QUEUE_KEY', async ({ gateway, sandbox }) => {
    for (const reply of [await say(gateway, waiting), await say(gateway, {}, { ...hello, sendAt: ahead(1_000) })])
      expect(reply).toMatchObject({ status: 501, json: { code: 'queue-not-enabled', outcome: 'not_applied', retry: 'no' } })
    expect(sandbox.calls).toHaveLength(0)
  })
})

describe('sendAt', () => {
  test('keeps the send until then', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const [sendAt, later] = [ahead(1_500), ahead(600_000)]
    const { id } = (await say(gateway, keyed, { ...hello, sendAt })).json
    const waits = (await say(gateway, {}, { ...hello, sendAt: later })).json.id
    expect((await gateway.get('/sends?state=queued')).json.items).toContainEqual(expect.objectContaining({ id: waits, sendAt: later }))
    await settled(gateway, id, 'accepted')

    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(sendAt))
    expect(sandbox.sent).toHaveLength(1)
    expect(await say(gateway, keyed)).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } })
  })

  test('is 400 unless it is a time of the next 30 days and before expiresAt, which only a send that waits has, for 31 days', async ({
    start,
    sandbox,
  }) => {
    const gateway = await start({ env })
    const wrong: [string, Record<string, unknown>][] = [
      ['/sendAt', { sendAt: ahead(31 * 86_400_000) }],
      ['/sendAt', { sendAt: 'tomorrow' }],
      ['/sendAt', { sendAt: '2027-02-30T00:00:00Z' }],
      ['/sendAt', { sendAt: '2027-01-31T09:30:00' }],
      ['/sendAt', { sendAt: '2027-01-31 09:30:00Z' }],
      ['/sendAt', { sendAt: '2027-01-31T24:00:00Z' }],
      ['/sendAt', { sendAt: '2027-01-31T09:30:00+24:00' }],
      ['/sendAt', { sendAt: '2016-12-31T12:59:60Z' }],
      ['/sendAt', { sendAt: 1_800_000_000 }],
      ['/sendAt', { sendAt: null }],
      ['/expiresAt', { sendAt: ahead(60_000), expiresAt: ahead(30_000) }],
      ['/expiresAt', { expiresAt: ahead(30_000) }],
      ['/expiresAt', { sendAt: ahead(60_000), expiresAt: ahead(31 * 86_400_000 + 60_000) }],
    ]
    for (const [pointer, more] of wrong)
      expect(await say(gateway, keyed, { ...hello, ...more }), JSON.stringify(more)).toMatchObject({
        status: 400,
        json: { errors: [{ pointer }] },
      })

    expect(sandbox.calls).toHaveLength(0)
  })
})

describe('A time', () => {
  test('is taken as RFC 3339 has it', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const past = ['2016-12-31t23:59:60z', '2016-12-31T15:59:60.5-08:00', '0000-01-01T00:00:00Z']
    const later = ahead(20 * 86_400_000)
    const times = [...past, later.replace('T', 't').replace('Z', '000001+00:00'), later.replace('Z', '-00:00')]
    for (const sendAt of times) {
      const { status, json } = await say(gateway, {}, { ...hello, sendAt })
      expect({ status, state: json.state }, sendAt).toEqual({ status: 202, state: 'queued' })
      if (!past.includes(sendAt)) expect(json.sendAt).toBe(later)
    }

    await sandbox.called(past.length)
  })
})

describe('Prefer', () => {
  test('is read as RFC 7240 has it', async ({ start }) => {
    const gateway = await start({ env })
    const headers = [
      ['respond-async, wait=10', 202],
      ['return=minimal;foo="a,b" , RESPOND-ASYNC ; x=1', 202],
      ['respond-async=""', 202],
      ['respond-async = "" ; foo', 202],
      ['foo="", respond-async, bar=""', 202],
      ['wait=10; respond-async', 201],
      ['foo="respond-async, respond-async"', 201],
      ['foo="\\", respond-async, \\""', 201],
      ['foo="\\", respond-async, \\', 201],
      ['respond-asynchronously, respond-async-please', 201],
      ['respond-async=no', 201],
      ['', 201],
    ] as const

    for (const [prefer, status] of headers) expect((await say(gateway, { prefer })).status, prefer).toBe(status)
  })
})

describe('DELETE /sends/{id}', () => {
  test('cancels a queued send, once and for all', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const body = { ...hello, sendAt: ahead(4_000) }
    const { id } = (await say(gateway, keyed, body)).json
    const reply = await cancel(gateway, id)

    expect(reply).toMatchObject({ status: 200, json: { id, state: 'canceled' } })
    expect((await cancel(gateway, id)).text).toBe(reply.text)
    expect(await say(gateway, keyed, body)).toMatchObject({ status: 200, text: reply.text, headers: { 'idempotency-replayed': 'true' } })
    const after = (await say(gateway, {}, { ...hello, sendAt: ahead(4_200) })).json.id
    await settled(gateway, after, 'accepted')
    expect(sandbox.sent).toHaveLength(1)
  })

  test('is 409 for a send that has started, 404 for none', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const sent = (await say(gateway)).json.id

    expect(await cancel(gateway, sent)).toMatchObject({ status: 409, json: { code: 'send-already-started', retry: 'no', sendId: sent } })
    expect(await cancel(gateway, 'x')).toMatchObject({ status: 404, json: { code: 'send-not-found' } })
    expect(sandbox.sent).toHaveLength(1)
  })
})

describe('A queued send', () => {
  test('expires, and its key replays that', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    for (let n = 0; n < 3; n++) sandbox.answer({ status: 429, headers: { 'retry-after': '5' } })
    stopClock()
    const body = { ...hello, expiresAt: ahead(1_500) }
    const { id } = (await say(gateway, waiting, body)).json
    await sandbox.called(1)
    vi.setSystemTime(body.expiresAt)
    await settled(gateway, id, 'expired')

    const send = (await gateway.get(`/sends/${id}`)).json
    expect(send).toMatchObject({ problem: { code: 'send-expired', status: 410, outcome: 'not_applied', sendId: id } })
    expect(await say(gateway, waiting, body)).toMatchObject({
      status: 200,
      json: { state: 'expired' },
      headers: { 'idempotency-replayed': 'true' },
    })
    expect(sandbox.calls, 'Afilnet has asked for five seconds').toHaveLength(1)
  })

  test('survives a restart and another key in front, and ends if its key is gone; its text is nowhere', async ({
    start,
    sandbox,
    ledgerFile,
  }) => {
    const STORE_URL = `sqlite:${ledgerFile}`
    const other = Buffer.alloc(32, 8).toString('base64')
    stopClock()
    const secret = { message: 'Meet me at the canary fountain', sendAt: ahead(4_000) }
    const before = await start({ env: { ...env, STORE_URL } })
    const { id } = (await say(before, keyed, secret)).json
    await before.drain()
    expect(readFileSync(ledgerFile, 'latin1')).not.toContain('canary fountain')

    const rotated = await start({ env: { QUEUE_KEY: `${other},${key}`, STORE_URL } })
    vi.setSystemTime(Date.parse(secret.sendAt))
    await settled(rotated, id, 'accepted')
    expect(sandbox.sent).toMatchObject([{ message: secret.message }])
    const last = (await say(rotated, { 'idempotency-key': 'l' }, { ...hello, sendAt: ahead(600_000) })).json.id
    await rotated.drain()
    const without = await start({ env: { ...env, STORE_URL } })
    await settled(without, last, 'not_sent')
    const { problem, settledBy } = (await without.get(`/sends/${last}`)).json
    expect(problem).toMatchObject({ code: 'queue-key-lost', status: 503, outcome: 'not_applied' })
    expect(settledBy, 'Afilnet gave no answer').toBeUndefined()
    await without.logged(({ msg }) => String(msg).startsWith('QUEUE_KEY lacks the key'))
    expect(sandbox.sent).toHaveLength(1)

    const queued = (await say(without, { 'idempotency-key': 'm' }, { ...hello, sendAt: ahead(600_000) })).json.id
    await without.drain()
    await settled(await start({ env: { STORE_URL } }), queued, 'not_sent')
  })

  test('goes if the ledger gives it while the gateway drains', async ({ start, sandbox, ledgerFile }) => {
    const STORE_URL = `sqlite:${ledgerFile}`
    const gateway = await start({ env: { ...env, STORE_URL } })
    const { id, sendAt } = (await say(gateway, keyed, { ...hello, sendAt: ahead(300) })).json
    const other = new DatabaseSync(ledgerFile, { timeout: 1_000 })
    other.exec('BEGIN IMMEDIATE')
    await expect.poll(() => Date.now()).toBeGreaterThan(Date.parse(sendAt) + 50) // the gateway has asked, and waits
    const drained = gateway.drain()
    await expect.poll(() => fetch(gateway.url).catch(() => 'closed'), { interval: 5 }).toBe('closed')
    other.close()
    await drained

    await settled(await start({ env: { ...env, STORE_URL } }), id, 'accepted')
    expect(sandbox.sent).toHaveLength(1)
  })

  test('ends although it is held, if no key is left', async ({ start, ledgerFile }) => {
    const STORE_URL = `sqlite:${ledgerFile}`
    const before = await start({ env: { ...env, STORE_URL } })
    const { id } = (await say(before, keyed, { ...hello, sendAt: ahead(600_000) })).json
    await before.drain()
    const store = await openStore(STORE_URL, policy)
    expect(await store.holdQueue()).toBe(1)
    await store.close()
    const holding = await start({ env: { ...env, STORE_URL } })
    const metrics = async () => (await fetch(`${holding.adminUrl}/metrics`)).text()
    await expect.poll(metrics).toContain('\ngateway_queue_sends{state="held"} 1\n')
    await holding.drain()

    await settled(await start({ env: { STORE_URL } }), id, 'not_sent')
  })

  test('waits for a gateway that knows its caller, and ends unsent if the configuration has lost the caller since', async ({
    start,
    sandbox,
    ledgerFile,
  }) => {
    const both = { env: { ...env, STORE_URL: `sqlite:${ledgerFile}` } }
    const callers = { second: { key: other.key } }
    const queue = async (gateway: TestGateway, ms: number, key: string) => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json', prefer: 'respond-async' }, key }
      const path = key === other.key ? `${chat}1/messages` : `${chat}/messages`
      return (await gateway.request(path, { ...init, body: JSON.stringify({ message: key, sendAt: ahead(ms) }) })).json.id
    }
    const stateOf = async (gateway: TestGateway, id: string) => (await gateway.request(`/sends/${id}`, { key: other.key })).json.state
    const older = await start(both)
    const newer = await start({ ...both, callers })
    const waits = await queue(newer, 1_000, other.key)
    await newer.drain()
    await settled(older, await queue(older, 1_200, canaries.key), 'accepted') // the older one has seen what was due before
    const next = await start({ ...both, callers })
    await expect.poll(() => stateOf(next, waits)).toBe('accepted')
    const ends = await queue(next, 2_000, other.key)
    await Promise.all([next.drain(), older.drain()])
    const without = await start(both)
    await settled(without, await queue(without, 2_200, canaries.key), 'accepted')

    expect(await stateOf(await start({ ...both, callers }), ends)).toBe('not_sent')
    expect(sandbox.sent.map(({ message }) => message)).toEqual([canaries.key, other.key, canaries.key])
  })

  test('goes by the callers of the latest reload', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const without = readConfig({ ...environment(sandbox), ...env })
    const second = { account: 'default', scopes: ['messages:send' as const], keySha256: [hash('sha256', other.key)] }
    const withSecond = { ...without, callers: { ...without.callers, second } }
    const headers = { 'content-type': 'application/json', prefer: 'respond-async' }
    const queue = async (key: string, sendAt: string) => {
      const body = JSON.stringify({ ...hello, sendAt })
      return (await gateway.request(`${chat}/messages`, { method: 'POST', key, headers, body })).json.id
    }
    const stateOf = async (id: string) => (await gateway.request(`/sends/${id}`, { key: other.key })).json.state

    await gateway.reload(withSecond)
    const goes = await queue(other.key, ahead(0))
    await expect.poll(() => stateOf(goes)).toBe('accepted')
    const ends = await queue(other.key, ahead(300))
    await gateway.reload(without)
    await settled(gateway, await queue(canaries.key, ahead(300)), 'accepted') // of the same conversation, so it goes later
    await gateway.reload(withSecond)

    expect(await stateOf(ends)).toBe('not_sent')
    expect(sandbox.sent).toHaveLength(2)
  })

  test('ends unsent if its caller may not send it any more', async ({ start, sandbox, ledgerFile }) => {
    const both = { env: { ...env, STORE_URL: `sqlite:${ledgerFile}` }, accounts: { shop: {} } }
    const changes = {
      disabled: { disabled: true },
      moved: { account: 'shop' },
      without: { scopes: ['files:send'] },
      elsewhere: { chats: ['whatsapp/200/*'] },
      same: {},
    } as const
    const names = Object.keys(changes) as (keyof typeof changes)[]
    const keyOf = (name: string) => `fake-key-of-${name}-0123456789`
    const before = await start({ ...both, callers: Object.fromEntries(names.map(name => [name, { key: keyOf(name) }])) })
    for (const [n, name] of names.entries()) {
      const headers = { 'content-type': 'application/json', ...waiting }
      const body = JSON.stringify({ message: name, sendAt: ahead(600_000) })
      const { status } = await before.request(`${chat}${n}/messages`, { method: 'POST', key: keyOf(name), headers, body })
      expect(status).toBe(202)
    }
    await before.drain()
    const db = new DatabaseSync(ledgerFile)
    db.exec('UPDATE queue SET nextAt = 0') // ten minutes later
    db.close()
    await start({ ...both, callers: Object.fromEntries(names.map(name => [name, { key: keyOf(name), ...changes[name] }])) })
    const store = await openStore(both.env.STORE_URL, policy)
    const stateOf = async (caller: string) => (await store.list({ caller, account: 'default' }, { limit: 2 })).map(({ state }) => state)
    const states = () => Promise.all(names.map(stateOf))

    await expect.poll(states).toEqual([['not_sent'], ['not_sent'], ['not_sent'], ['not_sent'], ['accepted']])
    expect(sandbox.calls).toHaveLength(1)
    await store.close()
  })

  test('counts for the quota of the day until it ends unsent', async ({ start, sandbox }) => {
    const gateway = await start({ env, callers: { limited: { ...other, rateLimit: { sendsPerDay: 1 } } } })
    const post = async (more: object, destination = chat) => {
      const headers = { 'content-type': 'application/json', prefer: 'respond-async' }
      const body = JSON.stringify({ ...hello, ...more })
      return gateway.request(`${destination}/messages`, { method: 'POST', key: other.key, headers, body })
    }
    const ends = (id: string, state: string) =>
      expect.poll(async () => (await gateway.request(`/sends/${id}`, { key: other.key })).json.state).toBe(state)
    const later = (await post({ sendAt: ahead(600_000) })).json.id
    expect(await post({})).toMatchObject({ status: 429, json: { code: 'send-quota-exceeded' } })
    await gateway.request(`/sends/${later}`, { method: 'DELETE', key: other.key })
    await ends((await post({ expiresAt: ahead(-1) })).json.id, 'expired')
    await ends((await post({}, '/chats/whatsapp/100/CHAT_NOT_FOUND')).json.id, 'rejected')
    await ends((await post({}, '/chats/whatsapp/100/NO_CREDITS')).json.id, 'not_sent')
    await ends((await post({})).json.id, 'accepted')

    expect((await post({})).status).toBe(429)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('goes in the order of its conversation by due time, then creation, while others and POSTs that do not wait go past', async ({
    start,
    sandbox,
  }) => {
    const gateway = await start({ env })
    stopClock()
    sandbox.answer({ status: 429, headers: { 'retry-after': '3' }, destination: '34600000000', times: 1 })
    const due = Date.now() + 3_000
    const at = (ms: number) => ({ sendAt: new Date(due + ms).toISOString() })
    const queue = async (message: string, more: object, to = chat) => (await say(gateway, {}, { message, ...more }, to)).json.id
    await queue('third', at(2))
    await queue('fourth', at(2))
    await queue('second', at(1))
    await queue('first', at(0)) // is attempted twice
    const elsewhere = await queue('elsewhere', at(3), '/chats/whatsapp/100/34600000001')
    vi.setSystemTime(due + 3)
    await settled(gateway, elsewhere, 'accepted')
    await sandbox.called(2)
    await say(gateway, {}, { message: 'now' })
    vi.setSystemTime(due + 4_000)
    await sandbox.until(({ sent }) => sent.length === 6)

    expect(sandbox.sent.map(({ message }) => message)).toEqual(['elsewhere', 'now', 'first', 'second', 'third', 'fourth'])
  })
})
