import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { Answer } from '../../src/sandbox/scripted-responses.ts'
import { test as base, canaries, type Reply, type TestGateway } from '../gateway.ts'

const test = base.extend<{ dir: string }>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  dir: async ({}, use) => {
    const dir = await mkdtemp(join(tmpdir(), 'sends-'))
    await use(dir)
    await rm(dir, { recursive: true })
  },
})

const chat = '/chats/whatsapp/100/34600000000'
const hello = { message: 'Hello' }
type Page = { items: { id: string }[]; nextCursor?: string }

const keyed = { 'idempotency-key': 'order-4711' }
const other = { key: 'fake-other-key-0123456789' }
const brief = { AFILNET_TIMEOUT_MS: '300' }

const say = (gateway: TestGateway, headers: Record<string, string> = keyed, body: unknown = hello, to = chat) =>
  gateway.post(`${to}/messages`, body, headers)
const sayAs = (gateway: TestGateway, key: string, headers: Record<string, string> = keyed) =>
  gateway.request(`${chat}/messages`, {
    method: 'POST',
    key,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(hello),
  })
const list = async (gateway: TestGateway, query = '') => (await gateway.get(`/sends${query}`)).json.items
const error = (code: string) => JSON.stringify({ status: 'ERROR', error: code })
/** What must be the same in a replay. */
const lasting = ({ status, text, headers }: Reply) => ({ status, text, location: headers.location, type: headers['content-type'] })
const replayOf = (first: Reply) => ({ ...lasting(first), replayed: 'true' })
const replay = (reply: Reply) => ({ ...lasting(reply), replayed: reply.headers['idempotency-replayed'] })

describe('The first post with a key', () => {
  test('runs, and says where its send is', async ({ gateway, sandbox }) => {
    const reply = await say(gateway)

    expect(reply).toMatchObject({ status: 201, json: { state: 'accepted', idempotencyKey: 'order-4711' } })
    expect(reply.headers.location).toBe(`/sends/${reply.json.id}`)
    expect(reply.headers).not.toHaveProperty('idempotency-replayed')
    expect((await gateway.get(reply.headers.location as string)).text).toBe(reply.text)
    expect(sandbox.sent).toHaveLength(1)
  })
})

describe('The same request with the same key', () => {
  test('is told the same and sends nothing, also after a restart', async ({ start, sandbox, dir }) => {
    const env = { STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}` }
    const before = await start({ env })
    const first = await say(before)
    const second = await say(before)
    await before.drain()
    const third = await say(await start({ env }))

    expect(replay(second)).toEqual(replayOf(first))
    expect(replay(third)).toEqual(replayOf(first))
    expect(sandbox.calls).toHaveLength(1)
  })

  test('may have its members in another order', async ({ gateway, sandbox }) => {
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
    sandbox.answer({ delayMs: 300 })
    const first = say(gateway)
    await sandbox.called(1)

    const during = await say(gateway)
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
    ['another number of ours', '/chats/whatsapp/101/34600000000/messages', hello],
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

  test("runs where the key is another caller's", async ({ start, sandbox }) => {
    const gateway = await start({ callers: { other } })
    const mine = await say(gateway)
    const theirs = await sayAs(gateway, other.key)

    expect(theirs.status).toBe(201)
    expect(theirs.json.id).not.toBe(mine.json.id)
    expect(sandbox.sent).toHaveLength(2)
  })
})

describe('A post that was refused before there was a row', () => {
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

describe('A send that did not happen', () => {
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

describe('A send of which nobody knows', () => {
  test.for<[string, Answer, number]>([
    ['silence', { fault: 'silent' }, 504],
    ['stalled', { fault: 'stall' }, 504],
    ['dropped', { fault: 'drop' }, 502],
    ['reset', { fault: 'reset' }, 502],
    ['truncated', { fault: 'truncated' }, 502],
    ['html', { fault: 'html' }, 502],
    ['500', { status: 500, body: '' }, 502],
    ['redirect', { status: 302, headers: { location: 'https://example.com/' }, body: '' }, 502],
    ['new code', { body: error('BRAND_NEW') }, 502],
  ])('is replayed and never made again: %s', async ([, answer, status], { start, sandbox }) => {
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
    expect(await list(gateway)).toMatchObject([{ id: reply.json.sendId, state: 'unknown', problem: reply.json }])
  })

  test('turns into accepted with a late answer', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    sandbox.answer({ delayMs: 600 })
    const first = await say(gateway)
    const during = await say(gateway)
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
    sandbox.answer({ delayMs: 600, body: error('CHANNEL_NOT_FOUND') })
    const first = await say(gateway)
    await settled(gateway, first.json.sendId, 'rejected')
    const after = [await say(gateway), await say(gateway)]

    expect(first.status).toBe(504)
    const problem = { code: 'channel-not-found', outcome: 'not_applied', retry: 'no', sendId: first.json.sendId }
    expect(after[0]).toMatchObject({ status: 404, json: problem, headers: { 'idempotency-replayed': 'true' } })
    expect(after[1]?.text).toBe(after[0]?.text)
    expect(sandbox.calls).toHaveLength(1)
  })

  test('stays unknown where the late answer frees no key', async ({ start, sandbox }) => {
    const gateway = await start({ env: brief })
    sandbox.answer({ delayMs: 500, body: error('NO_CREDITS') })
    const first = await say(gateway)
    await answered(sandbox)
    await say(gateway, {}) // what came in before this one was written down before it

    expect(replay(await say(gateway))).toEqual(replayOf(first))
    expect(sandbox.calls).toHaveLength(2)
  })

  test('stays unknown when the late answer is later than that', async ({ start, sandbox }) => {
    const gateway = await start({ env: { ...brief, AFILNET_LATE_MS: '200' } })
    sandbox.answer({ fault: 'silent' })
    const first = await say(gateway)
    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)

    expect(replay(await say(gateway))).toEqual(replayOf(first))
  })
})

describe('A caller that hangs up', () => {
  test('does not cancel its send', async ({ gateway, sandbox }) => {
    sandbox.answer({ delayMs: 200 })
    const socket = gateway.open()
    const body = JSON.stringify(hello)
    socket.write(
      `POST ${chat}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\nIdempotency-Key: order-4711\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await sandbox.called(1)
    socket.destroy()
    await gateway.logged(({ aborted }) => aborted === true)
    await answered(sandbox)
    const [{ id }] = await list(gateway)
    await settled(gateway, id, 'accepted')

    expect(sandbox.calls[0]?.closedByPeer).toBe(false)
    expect(await say(gateway)).toMatchObject({ status: 201, json: { id }, headers: { 'idempotency-replayed': 'true' } })
    expect(sandbox.sent).toHaveLength(1)
  })
})

describe('GET /sends/{id}', () => {
  test("is 404 for another caller's send and for what is no id", async ({ start }) => {
    const gateway = await start({ callers: { other } })
    const { id } = (await sayAs(gateway, other.key)).json

    const own = await gateway.request(`/sends/${id}`, { key: other.key })
    expect(own).toMatchObject({ status: 200, json: { id }, headers: { 'cache-control': 'no-store' } })
    for (const wrong of [id, 'x', '%00', "'--", id.toUpperCase(), `${id}x`, '0'.repeat(5_000), '00000000-0000-7000-8000-000000000000'])
      expect(await gateway.get(`/sends/${wrong}`)).toMatchObject({ status: 404, json: { code: 'send-not-found' } })
  })

  test('shows one that runs', async ({ gateway, sandbox }) => {
    sandbox.answer({ delayMs: 200 })
    const reply = say(gateway)
    await sandbox.called(1)
    const [send] = await list(gateway, '?state=pending')

    expect(send).toMatchObject({ state: 'pending', createdAt: expect.any(String) })
    expect(send).not.toHaveProperty('settledAt')
    expect((await reply).json.id).toBe(send.id)
  })
})

describe('GET /sends', () => {
  test('has times in RFC 3339 and ids in the order of the posts', async ({ gateway }) => {
    const ids: string[] = []
    for (let n = 0; n < 30; n++) ids.push((await say(gateway, {})).json.id)

    const items = await list(gateway, '?limit=100')
    expect(items.map(({ id }: { id: string }) => id)).toEqual(ids.toReversed())
    expect(ids).toEqual(ids.toSorted())
    for (const { id, createdAt, settledAt } of items) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(new Date(createdAt).toISOString()).toBe(createdAt)
      expect(Date.parse(settledAt)).toBeGreaterThanOrEqual(Date.parse(createdAt))
      expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBeLessThanOrEqual(Date.parse(createdAt))
    }
  })

  test.for([
    ['state=rejected', 1],
    ['idempotencyKey=k', 1],
    ['reference=r%201', 1],
    ['platform=telegram', 1],
    ['platformId=200', 1],
    ['destination=700100200', 1],
    ['destination=700100200&platform=telegram&reference=r%201', 1],
    ['destination=700100200&platform=webchat', 0],
    ['state=pending', 0],
    ['idempotencyKey=K', 0],
  ] as const)('filters by %s', async ([query, count], { gateway, sandbox }) => {
    await say(gateway)
    sandbox.answer({ body: error('CHANNEL_NOT_FOUND') })
    const odd = await say(gateway, { 'idempotency-key': 'k' }, { ...hello, reference: 'r 1' }, '/chats/telegram/200/700100200')
    await say(gateway, {})

    const items = await list(gateway, `?${query}`)
    expect(items.map(({ id }: { id: string }) => id)).toEqual(count === 1 ? [odd.json.sendId] : [])
  })

  test('pages without gaps or repeats while more arrives, 20 at a time', async ({ gateway }) => {
    const made = await Promise.all(Array.from({ length: 45 }, () => say(gateway, {})))
    const seen: string[] = []
    const lengths: number[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Page = (await gateway.get(`/sends${cursor && `?cursor=${cursor}`}`)).json
      seen.push(...page.items.map(({ id }) => id))
      lengths.push(page.items.length)
      cursor = page.nextCursor
      await say(gateway, {})
    }

    expect(lengths).toEqual([20, 20, 5])
    expect(seen).toEqual(
      made
        .map(({ json }) => json.id)
        .sort()
        .reverse(),
    )
  })

  test('ends without a cursor where a page is just full', async ({ gateway }) => {
    await Promise.all(Array.from({ length: 4 }, () => say(gateway, {})))
    const first = (await gateway.get('/sends?limit=2')).json
    const second = (await gateway.get(`/sends?limit=2&cursor=${first.nextCursor}`)).json

    expect(second.items).toHaveLength(2)
    expect(second).not.toHaveProperty('nextCursor')
  })

  test("shows its own sends only, whoever's the cursor is", async ({ start }) => {
    const gateway = await start({ callers: { other } })
    const mine = await say(gateway, {})
    for (let n = 0; n < 3; n++) await sayAs(gateway, other.key, {})
    const { nextCursor } = (await gateway.request('/sends?limit=1', { key: other.key })).json

    expect(await list(gateway, `?cursor=${nextCursor}`)).toMatchObject([{ id: mine.json.id }])
    expect(await list(gateway, '?limit=100')).toHaveLength(1)
  })

  test.for(['1', '100'])('takes a limit of %s', async (limit, { gateway }) => {
    expect((await gateway.get(`/sends?limit=${limit}`)).status).toBe(200)
  })

  test.for([
    ...['limit=0', 'limit=101', 'limit=abc', 'limit=', 'limit=-1', 'limit=1.5', 'limit=1e1', 'limit=5&limit=5'],
    ...['colour=red', 'caller=other', 'before=x', 'state=lost', 'state=', 'state=unknown&state=accepted', 'platform=sms'],
    ...['cursor=', 'cursor=x', 'cursor=%00', 'cursor=MDE5YTBiMWM', "cursor='--", 'cursor=a&cursor=b'],
  ])('refuses %s', async (query, { gateway }) => {
    const reply = await gateway.get(`/sends?${query}`)

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', outcome: 'not_applied', retry: 'no' } })
  })

  test('needs a key', async ({ gateway }) => {
    for (const path of ['/sends', '/sends/x']) expect((await gateway.request(path, { key: null })).status).toBe(401)
  })
})

describe('The ledger', () => {
  test('holds neither the text nor a credential', async ({ start, sandbox, dir }) => {
    const gateway = await start({ env: { STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}` } })
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

    const bytes = Buffer.concat(readdirSync(dir).map(name => readFileSync(join(dir, name))))
    expect(bytes.includes('kept')).toBe(true)
    for (const secret of secrets) expect(bytes.includes(secret), `${secret} is in the file`).toBe(false)
  })
})

const settled = (gateway: TestGateway, id: string, state: string) =>
  expect.poll(async () => (await gateway.get(`/sends/${id}`)).json.state, { timeout: 5_000 }).toBe(state)
const answered = (sandbox: Sandbox) => sandbox.until(({ calls }) => calls[0]?.answer !== undefined)
