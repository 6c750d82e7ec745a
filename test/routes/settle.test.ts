import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { environment, hold, type TestGateway, sharedTest as test } from '../gateway.ts'
import { chat, error, keyed, other, replay, say, sayAs, settled } from './sending.ts'

/** The id of a send whose answer was lost. */
async function unknown(gateway: TestGateway, sandbox: Sandbox, headers: Record<string, string> = keyed) {
  sandbox.answer({ fault: 'drop' })
  const reply = await say(gateway, headers)
  expect(reply).toMatchObject({ status: 502, json: { outcome: 'unknown' } })
  return reply.json.sendId as string
}
const settle = (gateway: TestGateway, id: string, body: unknown) => gateway.post(`/sends/${id}/settle`, body)

describe('POST /sends/{id}/settle', () => {
  test('records that the message was accepted, which the key replays', async ({ gateway, sandbox }) => {
    const id = await unknown(gateway, sandbox)
    const reply = await settle(gateway, id, { state: 'accepted', note: 'Seen by Ana \u{1F600}' })

    expect(reply).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } })
    expect(reply.json).toMatchObject({ id, state: 'accepted', settledBy: 'caller', note: 'Seen by Ana \u{1F600}' })
    expect(reply.json).not.toHaveProperty('problem')
    expect((await gateway.get(`/sends/${id}`)).text).toBe(reply.text)
    expect(replay(await say(gateway))).toMatchObject({ status: 201, text: reply.text, replayed: 'true' })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('records that the message was rejected, which the key replays as 422', async ({ gateway, sandbox }) => {
    const id = await unknown(gateway, sandbox)
    const { json, headers } = await settle(gateway, id, { state: 'rejected' })
    const again = await say(gateway)

    const requestId = headers['x-request-id']
    expect(json).toMatchObject({ state: 'rejected', problem: { code: 'send-settled-rejected', status: 422, sendId: id, requestId } })
    expect(again).toMatchObject({ status: 422, headers: { 'idempotency-replayed': 'true' } })
    expect(again.json).toMatchObject({ ...json.problem, outcome: 'not_applied', retry: 'no' })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('frees the key if nothing was sent', async ({ gateway, sandbox }) => {
    const id = await unknown(gateway, sandbox)
    expect((await settle(gateway, id, { state: 'not_sent' })).json).toMatchObject({ state: 'not_sent', settledBy: 'caller' })
    const again = await say(gateway)

    expect(replay(again)).toMatchObject({ status: 201, replayed: undefined })
    expect(again.json.id).not.toBe(id)
    expect(sandbox.calls).toHaveLength(2)
  })

  test('is refused for a send that is not unknown, and changes nothing', async ({ gateway, sandbox }) => {
    const accepted = (await say(gateway, {})).json
    sandbox.answer({ body: error('CHANNEL_NOT_FOUND') })
    const rejected = (await say(gateway, {})).json.sendId
    const twice = await unknown(gateway, sandbox)
    await settle(gateway, twice, { state: 'accepted' })
    const release = hold(sandbox)
    const running = say(gateway, {})
    await sandbox.called(4)
    const [pending] = (await gateway.get('/sends?state=pending')).json.items

    for (const id of [accepted.id, rejected, twice, pending.id]) {
      const reply = await settle(gateway, id, { state: 'not_sent' })
      expect(reply).toMatchObject({ status: 409, json: { code: 'send-already-settled', outcome: 'not_applied', retry: 'no', sendId: id } })
      expect(reply.headers).not.toHaveProperty('retry-after')
    }
    expect((await gateway.get(`/sends/${accepted.id}`)).json).toEqual(accepted)
    release()
    expect(await running).toMatchObject({ status: 201 })
  })

  test('lets one of many win', async ({ gateway, sandbox }) => {
    const id = await unknown(gateway, sandbox)
    const replies = await Promise.all(['accepted', 'rejected', 'not_sent', 'accepted'].map(state => settle(gateway, id, { state })))

    const [won, ...lost] = replies.sort((a, b) => a.status - b.status)
    expect(won).toMatchObject({ status: 200, json: (await gateway.get(`/sends/${id}`)).json })
    expect(lost.map(({ status, json }) => [status, json.code])).toEqual(Array(3).fill([409, 'send-already-settled']))
  })

  test.for([
    {},
    { state: 'unknown' },
    { state: 'accepted', note: 'x'.repeat(1_001) },
    { state: 'accepted', more: 1 },
    { state: 'accepted', note: null },
  ])('is 400 for %j', async (body, { gateway, sandbox }) => {
    const id = await unknown(gateway, sandbox)

    expect(await settle(gateway, id, body)).toMatchObject({ status: 400, json: { code: 'invalid-request' } })
    expect((await gateway.get(`/sends/${id}`)).json.state).toBe('unknown')
  })

  test('takes a note of 1,000 characters', async ({ gateway, sandbox }) => {
    const note = 'ñ'.repeat(1_000)

    expect((await settle(gateway, await unknown(gateway, sandbox), { state: 'accepted', note })).json.note).toBe(note)
  })

  test("is 404 for another caller's send, and 403 without the scope of the send", async ({ start, sandbox }) => {
    const reader = { key: 'fake-reader-key-012345678', scopes: ['files:send', 'messages:read'] as const }
    const gateway = await start({ callers: { other, reader } })
    sandbox.answer({ fault: 'drop' })
    const id = (await sayAs(gateway, other.key)).json.sendId
    expect(await settle(gateway, id, { state: 'accepted' })).toMatchObject({ status: 404, json: { code: 'send-not-found' } })
    expect(await settle(gateway, '%00', { state: 'accepted' })).toMatchObject({ status: 404 })

    sandbox.answer({ fault: 'drop' })
    const file = await gateway.request(`${chat}/files`, {
      method: 'POST',
      key: reader.key,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'image', fileUrl: 'https://example.com/menu.jpg' }),
    })
    const own = { method: 'POST', key: reader.key, headers: { 'content-type': 'application/json' }, body: '{"state":"accepted"}' }
    expect(await gateway.request(`/sends/${file.json.sendId}/settle`, own)).toMatchObject({ status: 200 })
  })
})

describe('A key that lost the scope of its send', () => {
  test('cannot settle it', async ({ start, sandbox, ledgerFile }) => {
    const env = { STORE_URL: `sqlite:${ledgerFile}` }
    const before = await start({ env, callers: { other } })
    sandbox.answer({ fault: 'drop' })
    const id = (await sayAs(before, other.key)).json.sendId
    await before.drain()
    const gateway = await start({ env, callers: { other: { ...other, scopes: ['files:send'] } } })

    const request = { method: 'POST', key: other.key, headers: { 'content-type': 'application/json' }, body: '{"state":"accepted"}' }
    expect(await gateway.request(`/sends/${id}/settle`, request)).toMatchObject({ status: 403, json: { code: 'insufficient-scope' } })
    expect((await gateway.request(`/sends/${id}`, { key: other.key })).json).toMatchObject({ state: 'unknown' })
  })
})

describe('An unknown send', () => {
  test('is found in its conversation once a reload says what proves it, and its key replays that', async ({ start, sandbox }) => {
    const gateway = await start({ alone: true }) // sends of other tests to the same user could be this one
    await gateway.reload(readConfig({ ...environment(sandbox), AFILNET_TIMEZONE: 'UTC' }))
    sandbox.answer({ fault: 'drop', takes: false })
    const reply = await say(gateway)
    const datetime = new Date(Date.now() + 10_000).toISOString().slice(0, 19).replace('T', ' ')
    sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Hello', sent: true, datetime })
    await settled(gateway, reply.json.sendId, 'accepted')

    const send = (await gateway.get(`/sends/${reply.json.sendId}`)).json
    expect(send).toMatchObject({ settledBy: 'read-back', messageId: expect.any(String), delivery: { status: expect.any(String) } })
    expect(send.messageId).toBe(sandbox.messages().at(-1)?.messageid)
    expect(replay(await say(gateway))).toMatchObject({ status: 201, replayed: 'true' })
    expect(sandbox.sent).toHaveLength(0)
  })

  test('is not looked for in a conversation of another user, whom its account has meanwhile', async ({ start, sandbox, ledgerFile }) => {
    const env = { AFILNET_TIMEZONE: 'UTC', STORE_URL: `sqlite:${ledgerFile}` }
    const before = await start({ env })
    const lost = await unknown(before, sandbox)
    await before.drain()
    const second = sandbox.account('second@sandbox.invalid')
    const gateway = await start({ env: { ...env, AFILNET_USER: second.user } })
    sandbox.answer({ fault: 'drop', takes: false })
    const found = (await say(gateway, { 'idempotency-key': 'found' }, { message: 'Found' })).json.sendId
    const datetime = new Date(Date.now() + 10_000).toISOString().slice(0, 19).replace('T', ' ')
    for (const message of ['Hello', 'Found'])
      second.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message, sent: true, datetime })
    await settled(gateway, found, 'accepted')

    expect((await gateway.get(`/sends/${lost}`)).json).toMatchObject({ state: 'unknown' })
  })
})
