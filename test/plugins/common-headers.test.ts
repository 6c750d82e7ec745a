import { text } from 'node:stream/consumers'
import { describe, expect, vi } from 'vitest'
import { canaries, hold, readAnswers, sharedTest, type TestGateway, test } from '../gateway.ts'

const chat = '/chats/whatsapp/100/34600000000'

const security = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': expect.stringMatching(/^default-src 'none';.* frame-ancestors 'none'$/),
  'cross-origin-resource-policy': 'same-origin',
}

/** An answer of Afilnet's with a message of that many characters. */
const listOf = (characters: number) => JSON.stringify({ status: 'SUCCESS', result: { list: [{ message: 'x'.repeat(characters) }] } })

const line = (path: string, headers = '') =>
  `GET ${path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n${headers}\r\n`

const patient = { timeout: 40_000 }

describe('Every answer', () => {
  const close = 'Connection: close\r\n'
  sharedTest.for([
    [200, line('/channels', close)],
    [200, line('/openapi.json', close)],
    [200, line('/docs/', close)],
    [200, line('/docs/static/index.css', close)],
    [200, line('/health/live', close)],
    [200, line('/problems/not-found', close)],
    [200, line('/problems/not-found', `${close}Accept: text/html\r\n`)],
    [304, line('/channels', `${close}If-None-Match: *\r\n`)],
    [400, line('/%zz', close)],
    [400, line('/chats/x/y', close)],
    [400, 'nonsense\r\n\r\n'],
    [401, line('/channels', close).replace('Bearer', 'Basic')],
    [404, line('/nothing', close)],
    [404, line('/chats/whatsapp/CHANNEL_NOT_FOUND', close)],
    [405, line('/channels', close).replace('GET', 'DELETE')],
    [405, line('host:1', close).replace('GET', 'CONNECT')],
    [414, line(`/${'x'.repeat(9_000)}`, close)],
    [431, line('/channels', `X: ${'x'.repeat(20_000)}\r\n`)],
    [502, line('/chats/whatsapp/html', close)],
  ] as const)('of status %i has the security headers and a request id', async ([status, bytes], { gateway }) => {
    const [answer] = readAnswers(await gateway.raw(bytes))

    expect(answer).toMatchObject({ status, headers: { ...security, 'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/) } })
  })

  sharedTest.for(['12345678', 'Trace_id-0123456789', 'x'.repeat(64)])('keeps the request id %s', async (id, { gateway }) => {
    const good = await gateway.get('/health/live', { 'x-request-id': id })
    const bad = await gateway.get('/nothing', { 'x-request-id': id })
    const unreadable = await gateway.get('/%zz', { 'x-request-id': id })

    expect([good, bad, unreadable].map(({ headers }) => headers['x-request-id'])).toEqual([id, id, id])
    expect([bad, unreadable].map(({ json }) => json.requestId)).toEqual([id, id])
  })

  sharedTest.for([['1234567'], ['x'.repeat(65)], ['with blank'], ['semi;colon'], ['<script>'], ['ñandú-1234'], ['12345678', '12345678']])(
    'makes a request id of its own instead of %s',
    async (ids, { gateway }) => {
      const reply = await gateway.request('/nothing', { headers: { 'x-request-id': ids } })

      expect(reply.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
      expect(reply.json.requestId).toBe(reply.headers['x-request-id'])
    },
  )
})

describe('A caller who does not take its answer', () => {
  const room = { AFILNET_MAX_RESPONSE_BYTES: '33554432' }
  const large = 24 * 1024 * 1024 // more than the kernel keeps for one connection

  test('is let go after a while', async ({ start, sandbox }) => {
    const gateway = await start({ env: room, timeouts: { readerMs: 200 } })
    sandbox.answer({ body: listOf(large) })

    gateway
      .open()
      .pause()
      .write(line(`${chat}/messages`))

    expect(await gateway.logged(({ route }) => route !== undefined)).toMatchObject({ aborted: true, caller: 'default' })
  })

  test('is let go even in the docs', async ({ start }) => {
    const gateway = await start({ timeouts: { readerMs: 200 } })

    gateway.open().pause().write(line('/docs/static/swagger-ui-bundle.js').repeat(8))

    expect(await gateway.logged(({ aborted }) => aborted === true)).toMatchObject({ route: '/docs/static/*' })
  })

  test('is not mistaken for one who waits for Afilnet', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { readerMs: 50 } })
    sandbox.latencyMs = 300

    const reply = await gateway.get('/channels')

    expect(reply.status).toBe(200)
  })

  test('does not make the gateway keep more than eight full answers', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '1048576' } })
    sandbox.answer({ method: 'getmessages', body: listOf(1_000_000), times: 1_000 })
    sandbox.answer({ method: 'getunreadmessages', body: listOf(1_000_000) })
    const largeOne = () => gateway.get(`${chat}/messages`)

    const dawdler = gateway.open().pause()
    // Of many conversations: the answer of one comes to all who wait for it at once, and some of it leaves for the kernel's buffers later.
    dawdler.write(Array.from({ length: 50 }, (_, i) => line(`/chats/whatsapp/100/346000001${i + 10}/messages`)).join(''))
    const refused = await vi.waitFor(async () => {
      const reply = await largeOne()
      expect(reply.status).toBe(503)
      return reply
    }, patient)
    const small = await gateway.get('/channels')
    const unread = await gateway.get(`${chat}/unread`)
    dawdler.destroy()
    const after = await vi.waitFor(async () => {
      const reply = await largeOne()
      expect(reply.status).toBe(200)
      return reply
    }, patient)

    expect(unread.status, 'what may be marked as read by now is not kept back').toBe(200)
    expect(refused).toMatchObject({
      headers: { 'retry-after': '1', 'cache-control': 'no-store', 'content-type': 'application/problem+json; charset=utf-8' },
      json: { code: 'overloaded', outcome: 'not_applied', retry: 'yes' },
    })
    expect(refused.headers).not.toHaveProperty('etag')
    expect(small.status).toBe(200)
    expect(after.json.items[0].message).toHaveLength(1_000_000)
  })
})

describe('A caller who has taken its answers, or has left', () => {
  test('holds no room any more', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '1048576' } }) // room for 16 such answers
    sandbox.answer({ method: 'getmessages', body: listOf(1_000_000), times: 1_000 })
    const release = hold(sandbox, { method: 'getunreadmessages', body: listOf(1_000_000), times: 10 })
    const sockets = Array.from({ length: 10 }, () => gateway.open())
    for (const socket of sockets) socket.write(line(`${chat}/unread`))
    await sandbox.called(10)
    for (const socket of sockets) socket.destroy()
    await expect.poll(() => gateway.log.filter(({ aborted }) => aborted === true)).toHaveLength(10)
    release()
    await sandbox.until(({ calls }) => calls.every(({ answer }) => answer !== undefined))

    const statuses: number[] = []
    for (let i = 0; i < 20; i++) statuses.push((await gateway.get(`${chat}/messages`)).status)
    expect(statuses).toEqual(Array(20).fill(200))
  })
})

describe('Callers who do not take their answers', () => {
  test('hold half of the room and leave the rest to another caller', async ({ start, sandbox }) => {
    const [slow, other] = [{ key: 'fake-slow-key-0123456789' }, { key: 'fake-other-key-0123456789' }]
    const env = { AFILNET_MAX_RESPONSE_BYTES: '33554432', AFILNET_TIMEOUT_MS: '15000' }
    const gateway = await start({ env, callers: { slow, other } })
    sandbox.answer({ method: 'getmessages', body: listOf(24 * 1024 * 1024), times: 1_000 })
    const refused = () => gateway.log.filter(({ code, caller }) => code === 'overloaded' && caller === 'slow')

    for (let i = 0; i < 12; i++) {
      gateway
        .open()
        .pause()
        .write(line(`${chat}/messages`).replace(canaries.key, slow.key))
    }
    await vi.waitFor(() => expect(refused()).toHaveLength(7), patient)

    expect((await gateway.request(`${chat}/messages`, { key: other.key })).status).toBe(200)
  })
})

describe('A caller who takes its answer slowly', () => {
  test('still gets all of it while the gateway drains', async ({ start, sandbox }) => {
    const gateway: TestGateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '33554432' } })
    const body = listOf(24 * 1024 * 1024)
    sandbox.answer({ body })
    const socket = gateway.open().pause()

    socket.write(line(`${chat}/messages`))
    await sandbox.until(({ calls }) => calls[0]?.answer !== undefined)
    const drained = gateway.drain()
    await vi.waitFor(async () => expect((await gateway.get('/channels')).json.code).toBe('draining'), patient)
    const answer = await text(socket)
    await drained

    expect(answer.length).toBeGreaterThan(24 * 1024 * 1024)
    expect(answer).toMatch(/^HTTP\/1.1 200 OK/)
  })
})
