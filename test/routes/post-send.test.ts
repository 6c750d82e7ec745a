import { readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { describe, expect } from 'vitest'
import type { ScriptedResponse } from '../../src/sandbox/scripted-responses.ts'
import { canaries, hold, sharedTest as test } from '../gateway.ts'
import { answered, brief, chat, error, hello, keyed, list, other, replay, replayOf, say, sayAs, settled } from './sending.ts'

describe('The first request with a key', () => {
  test('runs, and its Location leads to its send', async ({ gateway, sandbox }) => {
    const reply = await say(gateway)

    expect(reply).toMatchObject({ status: 201, json: { state: 'accepted', idempotencyKey: 'order-4711' } })
    expect(reply.headers.location).toBe(`/sends/${reply.json.id}`)
    expect(reply.headers).not.toHaveProperty('idempotency-replayed')
    expect((await gateway.get(reply.headers.location as string)).text).toBe(reply.text)
    expect(sandbox.sent).toHaveLength(1)
  })
})

describe('The same request with the same key', () => {
  test('gets the same answer and sends nothing, also after a restart', async ({ start, sandbox, ledgerFile }) => {
    const env = { STORE_URL: `sqlite:${ledgerFile}` }
    const before = await start({ env })
    const first = await say(before)
    const second = await say(before)
    await before.drain()
    const third = await say(await start({ env }))

    expect(replay(second)).toEqual(replayOf(first))
    expect(replay(third)).toEqual(replayOf(first))
    expect(sandbox.calls).toHaveLength(1)
  })

  test('may have its properties in another order', async ({ gateway, sandbox }) => {
    const first = await gateway.request(`${chat}/messages`, {
      method: 'POST',
      headers: { ...keyed, 'content-type': 'application/json' },
      body: '{"message":"Hello","reference":"r"}',
    })
    const second = await gateway.request(`${chat}/messages`, {
      method: 'POST',
      headers: { ...keyed, 'content-type': 'application/json; charset=utf-8' },
      body: '{ "reference": "r", "message": "\\u0048ello" }',
    })

    expect(replay(second)).toEqual(replayOf(first))
    expect(sandbox.sent).toHaveLength(1)
  })

  test('is 409 while the first one runs, and the replay after it', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const first = say(gateway)
    await sandbox.called(1)

    const during = await say(gateway)
    release()
    expect(during).toMatchObject({
      status: 409,
      json: { code: 'idempotency-key-in-use', outcome: 'unknown', retry: 'same-key', sendId: (await first).json.id },
    })
    expect(Number(during.headers['retry-after'])).toBeGreaterThan(0)
    expect(replay(await say(gateway))).toEqual(replayOf(await first))
    expect(sandbox.calls).toHaveLength(1)
  })

  test('sends once, however many come at one time', async ({ gateway, sandbox }) => {
    sandbox.latencyMs = 100
    const replies = await Promise.all(Array.from({ length: 50 }, () => say(gateway)))

    const ran = replies.filter(({ status, headers }) => status === 201 && headers['idempotency-replayed'] === undefined)
    const rest = replies.filter(reply => !ran.includes(reply))
    expect(ran).toHaveLength(1)
    expect(rest.every(({ status, headers }) => status === 409 || headers['idempotency-replayed'] === 'true')).toBe(true)
    expect(new Set(replies.map(({ json }) => json.sendId ?? json.id)).size).toBe(1)
    expect(sandbox.calls).toHaveLength(1)
  })
})

describe('Another request with the same key', () => {
  test.for([
    ['another recipient', '/chats/whatsapp/100/34600000001/messages', hello],
    ['another channel', '/chats/whatsapp/101/34600000000/messages', hello],
    ['another platform', '/chats/telegram/100/34600000000/messages', hello],
    ['another text', `${chat}/messages`, { message: 'hello' }],
    ['a reference more', `${chat}/messages`, { ...hello, reference: 'r' }],
    ['another route', `${chat}/files`, { type: 'image', fileUrl: 'https://example.com/a.jpg' }],
  ] as const)('is refused: %s', async ([, path, body], { gateway, sandbox }) => {
    const first = await say(gateway)
    const second = await gateway.post(path, body, keyed)

    expect(second).toMatchObject({
      status: 422,
      json: { code: 'idempotency-key-reused', outcome: 'not_applied', retry: 'no', sendId: first.json.id },
    })
    expect(sandbox.calls).toHaveLength(1)
    expect(replay(await say(gateway))).toEqual(replayOf(first))
  })

  test('path parameters are compared as they are decoded', async ({ gateway, sandbox }) => {
    const one = await say(gateway, keyed, hello, '/chats/telegram/100%2F7/x')
    const same = await say(gateway, keyed, hello, '/chats/telegram/%3100%2f7/x')
    const another = await say(gateway, keyed, hello, '/chats/telegram/100/7%2Fx')

    expect(replay(same)).toEqual(replayOf(one))
    expect(another.json.code).toBe('idempotency-key-reused')
    expect(sandbox.calls).toHaveLength(1)
  })

  test("runs if the key is another caller's", async ({ start, sandbox }) => {
    const gateway = await start({ callers: { other } })
    const mine = await say(gateway)
    const theirs = await sayAs(gateway, other.key)

    expect(theirs.status).toBe(201)
    expect(theirs.json.id).not.toBe(mine.json.id)
    expect(sandbox.sent).toHaveLength(2)
  })
})

describe('A request that was refused before a row existed', () => {
  test.for([
    [400, { body: '{"message":""}' }],
    [400, { body: '{' }],
    [401, { key: 'fake-wrong-key-0123456789' }],
    [413, { body: JSON.stringify({ message: 'x'.repeat(70_000) }) }],
    [415, { headers: { ...keyed, 'content-type': 'text/plain' } }],
  ] as const)('leaves nothing behind (%i)', async ([status, over], { gateway, sandbox }) => {
    const post = { method: 'POST', headers: { ...keyed, 'content-type': 'application/json' }, body: JSON.stringify(hello) }
    const reply = await gateway.request(`${chat}/messages`, { ...post, ...over })

    expect(reply.status).toBe(status)
    expect(reply.json).not.toHaveProperty('sendId')
    expect(await list(gateway)).toEqual([])
    expect(sandbox.calls).toEqual([])
    expect((await say(gateway, keyed, { message: 'Other' })).status).toBe(201)
  })

  test('leaves nothing behind (403)', async ({ start }) => {
    const gateway = await start({ callers: { reader: { ...other, scopes: ['messages:read'] } } })
    const reply = await sayAs(gateway, other.key)

    expect(reply.status).toBe(403)
    expect((await gateway.request('/sends', { key: other.key })).json.items).toEqual([])
  })

  test('leaves nothing behind (no key where one is required)', async ({ start, sandbox }) => {
    const gateway = await start({ env: { IDEMPOTENCY_REQUIRED: 'true' } })
    const without = await say(gateway, {})

    expect(without).toMatchObject({ status: 400, json: { code: 'idempotency-key-required', outcome: 'not_applied', retry: 'no' } })
    expect(await list(gateway)).toEqual([])
    expect(sandbox.calls).toEqual([])
    expect((await say(gateway)).status).toBe(201)
  })
})

describe('A send that was not sent', () => {
  test.for([
    ['out of credit', { body: error('NO_CREDITS') }, 503, 'upstream-out-of-credit', 'no'],
    ['too many calls', { status: 429, headers: { 'retry-after': '7' }, body: '' }, 503, 'upstream-rate-limited', 'yes'],
    ['misunderstood', { body: error('MISSING_COMPULSORY_PARAM') }, 502, 'upstream-contract-mismatch', 'no'],
  ] as const)('frees its key: %s', async ([, answer, status, code, retry], { gateway, sandbox }) => {
    sandbox.answer(answer)
    const first = await say(gateway)
    const second = await say(gateway, keyed, { message: 'Even another text' })

    expect(first).toMatchObject({ status, json: { code, outcome: 'not_applied', retry, sendId: expect.any(String) } })
    expect(first.headers['retry-after']).toBe(code === 'upstream-rate-limited' ? '7' : undefined)
    expect(second.status).toBe(201)
    expect(second.headers).not.toHaveProperty('idempotency-replayed')
    expect((await list(gateway)).map(({ id, state }: Record<string, string>) => [id, state])).toEqual([
      [second.json.id, 'accepted'],
      [first.json.sendId, 'not_sent'],
    ])
    expect(sandbox.sent).toHaveLength(1)
  })

  test('frees its key: unreachable', async ({ start }) => {
    const gateway = await start({ env: { AFILNET_URL: 'http://127.0.0.1:1/api/http/' } })
    const replies = [await say(gateway), await say(gateway)]

    for (const reply of replies)
      expect(reply).toMatchObject({ status: 503, json: { code: 'upstream-unreachable', outcome: 'not_applied', retry: 'yes' } })
    expect(await list(gateway, '?state=not_sent')).toHaveLength(2)
  })

  test('frees its key: wrong password', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: error('INCORRECT_USER_PASSWORD') })
    const first = await say(gateway)
    const second = await say(gateway, keyed, { message: 'Even another text' })

    for (const reply of [first, second])
      expect(reply).toMatchObject({ status: 502, json: { code: 'upstream-credentials-rejected', outcome: 'not_applied', retry: 'no' } })
    expect((await list(gateway)).at(-1)).toMatchObject({ id: first.json.sendId, state: 'not_sent' })
    expect(sandbox.calls).toHaveLength(1)
  })
})

describe('A send that Afilnet refused', () => {
  test.for([
    ['messages', hello, 'CHANNEL_NOT_FOUND', 404, 'channel-not-found'],
    ['messages', hello, 'NO_ROUTE_AVAILABLE', 422, 'destination-unroutable'],
    ['files', { type: 'image', fileUrl: 'https://example.com/a.jpg' }, 'INCORRECT_FILEURL', 422, 'file-url-rejected'],
  ] as const)('of %s %o is replayed: %s', async ([resource, body, upstreamCode, status, code], { gateway, sandbox }) => {
    sandbox.answer({ body: error(upstreamCode) })
    const first = await gateway.post(`${chat}/${resource}`, body, keyed)
    const second = await gateway.post(`${chat}/${resource}`, body, keyed)

    const problem = { code, upstreamCode, outcome: 'not_applied', retry: 'no', sendId: expect.any(String) }
    expect(first).toMatchObject({ status, json: problem })
    expect(replay(second)).toEqual(replayOf(first))
    expect((await gateway.get(`/sends/${first.json.sendId}`)).json).toMatchObject({ state: 'rejected', problem: first.json })
    expect(sandbox.calls).toHaveLength(1)
  })
})

describe('A send whose outcome is unknown', () => {
  test.for<[string, ScriptedResponse, number]>([
    ['silence', { fault: 'silent' }, 504],
    ['stalled', { fault: 'stall' }, 504],
    ['dropped', { fault: 'drop' }, 502],
    ['reset', { fault: 'reset' }, 502],
    ['truncated', { fault: 'truncated' }, 502],
    ['html', { fault: 'html' }, 502],
    ['500', { status: 500, body: '' }, 502],
    ['redirect', { status: 302, headers: { location: 'https://example.com/' }, body: '' }, 502],
    ['new code', { body: error('BRAND_NEW') }, 502],
  ])('is replayed and never sent again: %s', async ([, answer, status], { start, sandbox }) => {
    const gateway = await start({ env: brief })
    sandbox.answer(answer)
    const first = await say(gateway)
    const again = await Promise.all(Array.from({ length: 5 }, () => say(gateway)))

    expect(first).toMatchObject({ status, json: { outcome: 'unknown', retry: 'same-key', sendId: expect.any(String) } })
    expect(first.headers).not.toHaveProperty('retry-after')
    for (const reply of again) expect(replay(reply)).toEqual(replayOf(first))
    expect((await gateway.get(`/sends/${first.json.sendId}`)).json).toMatchObject({ state: 'unknown', problem: first.json })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('is not to be repeated without a key', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    sandbox.answer({ fault: 'silent' })
    const reply = await say(gateway, {})

    expect(reply).toMatchObject({ status: 504, json: { outcome: 'unknown', retry: 'no', sendId: expect.any(String) } })
    const sends = await list(gateway)
    expect(sends).toMatchObject([{ id: reply.json.sendId, state: 'unknown', problem: reply.json }])
    expect(sends[0]).not.toHaveProperty('settledBy')
  })

  test('turns into accepted with a late answer', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    const release = hold(sandbox)
    const first = await say(gateway)
    const during = await say(gateway)
    release()
    await settled(gateway, first.json.sendId, 'accepted')
    const after = [await say(gateway), await say(gateway)]

    expect(first.json.code).toBe('upstream-timeout')
    expect(replay(during)).toEqual(replayOf(first))
    for (const reply of after) {
      expect(reply).toMatchObject({ status: 201, json: { id: first.json.sendId, state: 'accepted' } })
      expect(reply.headers).toMatchObject({ location: `/sends/${first.json.sendId}`, 'idempotency-replayed': 'true' })
      expect(reply.json).not.toHaveProperty('problem')
    }
    expect(sandbox.calls).toHaveLength(1)
  })

  test('turns into rejected with a late refusal', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    const release = hold(sandbox, { body: error('CHANNEL_NOT_FOUND') })
    const first = await say(gateway)
    release()
    await settled(gateway, first.json.sendId, 'rejected')
    const after = [await say(gateway), await say(gateway)]

    expect(first.status).toBe(504)
    const problem = { code: 'channel-not-found', outcome: 'not_applied', retry: 'no', sendId: first.json.sendId }
    expect(after[0]).toMatchObject({ status: 404, json: problem, headers: { 'idempotency-replayed': 'true' } })
    expect(after[1]?.text).toBe(after[0]?.text)
    expect(sandbox.calls).toHaveLength(1)
  })

  test('stays unknown if the late answer would free its key', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    const release = hold(sandbox, { body: error('NO_CREDITS') })
    const first = await say(gateway)
    release()
    await answered(sandbox)
    await say(gateway, {}) // what came in before this one was written down before it

    expect(replay(await say(gateway))).toEqual(replayOf(first))
    expect(sandbox.calls).toHaveLength(2)
  })

  test('stays unknown if no late answer arrives in time', async ({ start, sandbox }) => {
    const gateway = await start({ env: { ...brief, AFILNET_LATE_MS: '200' } })
    sandbox.answer({ fault: 'silent' })
    const first = await say(gateway)
    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)

    expect(replay(await say(gateway))).toEqual(replayOf(first))
  })
})

describe('A caller that hangs up', () => {
  const body = JSON.stringify(hello)
  const sendBytes =
    `POST ${chat}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\nIdempotency-Key: order-4711\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

  test('does not cancel its send', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const socket = gateway.open()
    socket.write(sendBytes)
    await sandbox.called(1)
    socket.destroy()
    await gateway.logged(({ aborted }) => aborted === true)
    release()
    await answered(sandbox)
    const [{ id }] = await list(gateway)
    await settled(gateway, id, 'accepted')

    expect(sandbox.calls[0]?.closedByPeer).toBe(false)
    expect(await say(gateway)).toMatchObject({ status: 201, json: { id }, headers: { 'idempotency-replayed': 'true' } })
    expect(sandbox.sent).toHaveLength(1)
  })

  test('is waited for by a drain, as far as its send goes', async ({ start, sandbox, ledgerFile }) => {
    const env = { STORE_URL: `sqlite:${ledgerFile}` }
    const gateway = await start({ env })
    const release = hold(sandbox)
    const socket = gateway.open()
    socket.write(sendBytes)
    await sandbox.called(1)
    socket.destroy()
    await gateway.logged(({ aborted }) => aborted === true)
    const drained = gateway.drain()
    release()
    await drained

    expect(await list(await start({ env }))).toMatchObject([{ state: 'accepted', idempotencyKey: 'order-4711' }])
  })
})

describe('The ledger', () => {
  test('contains neither the text nor a credential', async ({ start, sandbox, folder, ledgerFile }) => {
    const gateway = await start({ env: { STORE_URL: `sqlite:${ledgerFile}` } })
    sandbox.answer({ body: error('CHANNEL_NOT_FOUND') })
    const secrets = ['canary-text', 'canary-file', 'canary-thumb', canaries.key, canaries.password]
    await say(gateway, {}, { message: secrets[0], reference: 'kept' })
    await say(gateway, {}, { message: secrets[0], reference: 'kept' })
    await gateway.post(`${chat}/files`, {
      type: 'image',
      fileUrl: 'https://example.com/canary-file',
      thumbUrl: 'https://example.com/canary-thumb',
      message: secrets[0],
    })

    const bytes = Buffer.concat(readdirSync(folder).map(name => readFileSync(join(folder, name))))
    expect(bytes.includes('kept')).toBe(true)
    for (const secret of secrets) expect(bytes.includes(secret), `${secret} is in the file`).toBe(false)
  })
})

describe('The retry loop of docs/sending.md', () => {
  const doc = readFileSync(join(import.meta.dirname, '../../docs/sending.md'), 'utf8')
  const loop = stripTypeScriptTypes(doc.split('```ts\n')[1]?.split('```')[0] ?? '')

  test('sends once, whatever happens to the answers, and throws what another try cannot change', async ({ gateway, sandbox }) => {
    const page = (status: number, headers = {}) => new Response('<html>', { status, headers })
    const lost = (request: Promise<Response>) => request.then(() => Promise.reject(new TypeError('fetch failed')))
    const busy = page(503, { 'retry-after': 'Sat, 28 Nov 2026 16:00:00 GMT' })
    const faults = [lost, async () => page(502), (request: Promise<Response>) => request.then(() => busy), async () => page(200)]
    const waits: number[] = []
    const wait = (resolve: () => void, ms: number) => waits.push(ms) && resolve()
    const send: (destination: string, message: string, key: string) => Promise<string> = runInNewContext(`${loop}\nsend`, {
      ...{ gateway: gateway.url, apiKey: canaries.key, setTimeout: wait },
      fetch: (url: string, init: object) => (faults.shift() ?? (request => request))(fetch(url, init)),
    })

    const id = await send('34600000000', 'Hello', 'order-4711')

    expect((await gateway.get(`/sends/${id}`)).json).toMatchObject({ state: 'accepted', idempotencyKey: 'order-4711' })
    expect([faults.length, sandbox.sent.length]).toEqual([0, 1])
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000])
    await expect(send('CHANNEL_NOT_FOUND', 'Hello', 'order-4712')).rejects.toThrow('channel-not-found, outcome not_applied')

    const notOurs = (request: Promise<Response>) => request.then(() => Response.json({ message: 'Service unavailable' }, { status: 503 }))
    faults.push(...Array(5).fill(notOurs))
    await expect(send('34600000000', 'Hello', 'order-4713')).rejects.toThrow('no-answer, outcome unknown')
  })
})
