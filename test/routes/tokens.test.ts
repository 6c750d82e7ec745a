import { hash } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { AccountConfig } from '../../src/config/account.ts'
import type { CallerConfig } from '../../src/config/accounts.ts'
import { type Config, readConfig } from '../../src/config/config.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, environment, test as fresh, type Reply, readAnswers, sharedTest as test } from '../gateway.ts'
import { ask, chat, everything, issue, messages, next, sayWith, told } from '../tokens/issuing.ts'
import { error } from './sending.ts'

const limited = { key: 'fake-limited-key-0123456789', scopes: ['messages:read', 'tokens:issue'], chats: ['whatsapp/100/346*'] } as const
const soon = { key: 'fake-soon-key-0123456789' }
const file = JSON.stringify({ type: 'image', fileUrl: 'https://example.com/menu.jpg' })
const json = { 'content-type': 'application/json' }

describe('POST /tokens', () => {
  test.for([
    [{}, 900],
    [{ ttlSeconds: 60 }, 60],
    [{ ttlSeconds: 3600 }, 3600],
  ] as const)('with %j is valid for %i seconds', async ([body, seconds], { gateway }) => {
    const before = Date.now()
    const reply = await ask(gateway, body)

    expect(reply).toMatchObject({ status: 201, headers: { 'cache-control': 'no-store' } })
    expect(Object.keys(reply.json)).toEqual(['token', 'expiresAt'])
    const expiresAt = Date.parse(reply.json.expiresAt)
    expect(expiresAt).toBeGreaterThan(before + seconds * 1_000 - 1_000)
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + seconds * 1_000)
    expect((await gateway.request('/me', { key: reply.json.token })).json.expires).toBe(reply.json.expiresAt)
  })

  test('is never valid for longer than the key', async ({ start }) => {
    const expires = new Date(Math.floor(Date.now() / 1_000) * 1_000 + 120_000).toISOString()
    const gateway = await start({ callers: { soon: { ...soon, expires } } })

    expect((await ask(gateway, { ttlSeconds: 3600 }, soon.key)).json.expiresAt).toBe(expires)
    expect(Date.parse((await ask(gateway, { ttlSeconds: 60 }, soon.key)).json.expiresAt)).toBeLessThan(Date.parse(expires))
  })

  test.for([
    { scopes: ['channels:read'] },
    { scopes: ['chats:read'] },
    { scopes: ['tokens:issue'] },
    { scopes: ['everything'] },
    { scopes: [] },
    { scopes: 'messages:read' },
    { scopes: undefined },
    { chat: undefined },
    { chat: { ...chat, platform: 'sms' } },
    { chat: { ...chat, platformId: '' } },
    { chat: { ...chat, destination: undefined } },
    { chat: { ...chat, destination: 'a,b' } },
    { chat: { ...chat, destination: '' } },
    { chat: { ...chat, destination: 'undefined' } },
    { chat: { ...chat, destination: '0034600000000' } },
    { chat: { ...chat, destination: 'x'.repeat(129) } },
    { chat: { ...chat, more: 1 } },
    { ttlSeconds: 59 },
    { ttlSeconds: 3601 },
    { ttlSeconds: 900.5 },
    { ttlSeconds: '900' },
    { ttlSeconds: null },
    { actor: 'x'.repeat(65) },
    { actor: 'a\nb' },
    { actor: '\u202eecila' },
    { actor: '\u2028' },
    { actor: '\ud800' },
    { actor: 5 },
    { more: 1 },
  ])('refuses %j', async (body, { gateway }) => {
    expect(await ask(gateway, body)).toMatchObject({ status: 400, json: { code: 'invalid-request', outcome: 'not_applied', retry: 'no' } })
  })

  test('gives no more than the key has', async ({ start }) => {
    const gateway = await start({ callers: { limited, reader: { key: soon.key, scopes: ['messages:read'] } } })
    const read = { scopes: ['messages:read'] }

    expect(told(await ask(gateway, { scopes: ['messages:read', 'messages:send'] }, limited.key))).toEqual([403, 'insufficient-scope'])
    expect(told(await ask(gateway, { ...read, chat: { ...chat, destination: '351000000000' } }, limited.key))).toEqual([
      403,
      'chat-not-allowed',
    ])
    expect(told(await ask(gateway, { ...read, chat: { ...chat, platformId: '101' } }, limited.key))).toEqual([403, 'chat-not-allowed'])
    expect(told(await ask(gateway, read, soon.key))).toEqual([403, 'insufficient-scope'])
    expect(told(await ask(gateway, read, limited.key))).toEqual([201, undefined])
    expect(told(await ask(gateway, read, await issue(gateway)))).toEqual([403, 'insufficient-scope'])
  })
})

/** Everything that is not the token's own, and what it hears. */
const foreign = [
  ['GET', next, 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/100/34600000001/unread', 403, 'chat-not-allowed'],
  ['POST', next, 403, 'chat-not-allowed'],
  ['POST', '/chats/whatsapp/100/34600000001/files', 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/101/34600000000/messages', 403, 'chat-not-allowed'],
  ['GET', '/chats/telegram/100/34600000000/messages', 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/100/3460000000/messages', 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/100/346000000000/messages', 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/100/*/messages', 403, 'chat-not-allowed'],
  ['GET', '/chats/whatsapp/100', 403, 'insufficient-scope'],
  ['GET', '/channels', 403, 'insufficient-scope'],
  ['POST', '/tokens', 403, 'insufficient-scope'],
] as const

describe('A token', () => {
  test('reads and writes its conversation, in any spelling of the number', async ({ gateway, sandbox }) => {
    const token = await issue(gateway, { chat: { ...chat, destination: '+34 600-000-000' } })

    expect((await gateway.request('/chats/whatsapp/100/+34%20600000000/messages', { key: token })).status).toBe(200)
    expect((await gateway.request('/chats/whatsapp/100/34600000000/unread', { key: token })).status).toBe(200)
    expect((await sayWith(gateway, token, 'k')).status).toBe(201)
    const sent = await gateway.request('/chats/whatsapp/100/34600000000/files', {
      method: 'POST',
      key: token,
      headers: { ...json, 'idempotency-key': 'f' },
      body: file,
    })
    expect(sent.status).toBe(201)
    expect(sandbox.sent).toMatchObject([{ destination: '34600000000' }, { destination: '34600000000' }])
  })

  test.for(foreign)('gets nothing by %s %s', async ([method, path, status, code], { gateway, sandbox }) => {
    const token = await issue(gateway)
    const body = path.endsWith('files') ? file : JSON.stringify({ message: 'Hello' })

    const reply = await gateway.request(path, {
      method,
      key: token,
      ...(method === 'POST' && { headers: { ...json, 'idempotency-key': 'k' }, body }),
    })

    expect(told(reply)).toEqual([status, code])
    expect(sandbox.calls).toEqual([])
  })

  test('has its own scopes only', async ({ gateway, sandbox }) => {
    const token = await issue(gateway, { scopes: ['messages:read'] })

    expect((await gateway.request(messages, { key: token })).status).toBe(200)
    expect(await sayWith(gateway, token, 'k')).toMatchObject({
      status: 403,
      json: { code: 'insufficient-scope', detail: expect.stringContaining('token') },
    })
    expect(sandbox.sent).toEqual([])
  })

  test('takes a star for what it is', async ({ gateway }) => {
    const token = await issue(gateway, { chat: { ...chat, platform: 'telegram', destination: '*' } })

    expect((await gateway.request('/chats/telegram/100/*/messages', { key: token })).status).toBe(404)
    expect((await gateway.request('/chats/telegram/100/x/messages', { key: token })).status).toBe(403)
  })

  test('sees itself in /me', async ({ start }) => {
    const narrow = { key: 'fake-narrow-key-0123456789', rateLimit: { requestsPerMinute: 60, sendsPerDay: 5 } }
    const gateway = await start({ callers: { narrow } })
    const me = (await gateway.get('/me')).json
    const { token, expiresAt } = (await ask(gateway, { actor: 'Ana López', scopes: ['messages:read'] })).json

    expect((await gateway.request('/me', { key: token })).json).toEqual({
      caller: me.caller,
      account: me.account,
      scopes: ['messages:read'],
      chats: ['whatsapp/100/34600000000'],
      expires: expiresAt,
      actor: 'Ana López',
      chat,
      rateLimit: { requestsPerMinute: 120 },
    })
    expect((await gateway.request('/me', { key: await issue(gateway) })).json).toMatchObject({ actor: '' })
    expect((await gateway.request('/me', { key: await issue(gateway, {}, narrow.key) })).json).toMatchObject({
      rateLimit: narrow.rateLimit,
    })
  })

  test.for(['*', '34*', 'a/b'])('does not show the chat %s as a pattern', async (destination, { gateway }) => {
    const own = { ...chat, platform: 'telegram', destination }

    expect((await gateway.request('/me', { key: await issue(gateway, { chat: own }) })).json).toMatchObject({ chats: [], chat: own })
  })

  test('names its actor in the log, and is not in it', async ({ gateway }) => {
    const token = await issue(gateway, { actor: 'alice' })
    await gateway.request(messages, { key: token })

    expect(await gateway.logged(({ actor }) => actor === 'alice')).toMatchObject({ msg: 'request', caller: 'default', status: 200 })
    expect(JSON.stringify(gateway.log)).not.toContain(token.split('.')[2])
  })

  test('is in no query and under no other scheme', async ({ gateway }) => {
    const token = await issue(gateway)

    for (const [path, headers] of [
      [`/me?access_token=${token}`, {}],
      ['/me', { authorization: token }],
      ['/me', { authorization: `Basic ${token}` }],
      ['/me', { authorization: `Bearer ${token} x` }],
    ] as const)
      expect((await gateway.request(path, { key: null, headers })).status).toBe(401)
    const bytes = `GET /me HTTP/1.1\r\nHost: x\r\nAuthorization: bearer  ${token}\r\nConnection: close\r\n\r\n`
    expect(readAnswers(await gateway.raw(bytes))[0]).toMatchObject({ status: 200 })
  })
})

describe('The sends of a token', () => {
  test('are those of its actor in its chat, and its issuer sees them', async ({ gateway }) => {
    const [alice, again, bob, nobody] = await Promise.all(['alice', 'alice', 'bob', ''].map(actor => issue(gateway, { actor })))
    const elsewhere = await issue(gateway, { actor: 'alice', chat: { ...chat, destination: '34600000001' } })
    const { id, actor } = (await sayWith(gateway, `${alice}`, 'k')).json
    const own = (await sayWith(gateway, canaries.key, 'own')).json

    const found = async (key = canaries.key, query = '') =>
      (await gateway.request(`/sends${query}`, { key })).json.items.map((send: { id: string }) => send.id)
    expect(actor).toBe('alice')
    for (const key of [alice, again]) {
      expect((await gateway.request(`/sends/${id}`, { key: `${key}` })).json).toMatchObject({
        id,
        actor,
        idempotencyKey: 'k',
        state: 'accepted',
      })
      expect(await found(key)).toEqual([id])
      expect(await found(key, '?idempotencyKey=k&destination=34600000000&platform=whatsapp&platformId=100')).toEqual([id])
      expect(await found(key, '?destination=34600000001')).toEqual([])
      expect(await found(key, '?idempotencyKey=own')).toEqual([])
      expect(told(await gateway.request(`/sends/${own.id}`, { key: `${key}` }))).toEqual([404, 'send-not-found'])
    }
    for (const key of [bob, nobody, elsewhere]) {
      expect(told(await gateway.request(`/sends/${id}`, { key: `${key}` }))).toEqual([404, 'send-not-found'])
      expect(await found(key)).toEqual([])
    }
    expect(await found()).toEqual([own.id, id])
    expect(own).not.toHaveProperty('actor')
  })

  test('have keys of their issuer, actor and chat', async ({ gateway, sandbox }) => {
    const tokens = await Promise.all(['alice', 'alice', 'bob', ''].map(actor => issue(gateway, { actor })))
    const elsewhere = await issue(gateway, { actor: 'alice', chat: { ...chat, destination: '34600000001' } })
    const replies: Reply[] = []
    for (const key of [...tokens, canaries.key]) replies.push(await sayWith(gateway, key, 'k'))
    const [first, replay, ...others] = [...replies, await sayWith(gateway, elsewhere, 'k', 'Hello', next)]

    expect(replay).toMatchObject({
      status: 201,
      json: { id: first?.json.id, idempotencyKey: 'k' },
      headers: { 'idempotency-replayed': 'true' },
    })
    for (const other of others) {
      expect(other).toMatchObject({ status: 201, json: { idempotencyKey: 'k' } })
      expect(other.headers).not.toHaveProperty('idempotency-replayed')
    }
    expect(sandbox.sent).toHaveLength(5)
    expect(told(await sayWith(gateway, `${tokens[0]}`, 'k', 'Other'))).toEqual([422, 'idempotency-key-reused'])
  })

  test('are replayed while Afilnet cannot be called', async ({ gateway, sandbox }) => {
    const [alice, bob] = await Promise.all(['alice', 'bob'].map(actor => issue(gateway, { actor })))
    const first = await sayWith(gateway, `${alice}`, 'k')
    sandbox.answer({ body: error('INCORRECT_USER_PASSWORD') })
    await gateway.request(messages, { key: `${alice}` }) // so calls are paused

    expect((await sayWith(gateway, `${alice}`, 'k')).json.id).toBe(first.json.id)
    expect(told(await sayWith(gateway, `${bob}`, 'k'))).toEqual([502, 'upstream-credentials-rejected'])
  })
})

describe('The key that issued a token', () => {
  const row = {
    account: 'default',
    scopes: [...everything, 'tokens:issue'] as CallerConfig['scopes'],
    keySha256: [hash('sha256', limited.key)],
  }
  const gone = [401, 'unauthenticated']

  fresh.for<[string, (row: CallerConfig) => Record<string, CallerConfig>, unknown[]]>([
    ['has left', () => ({}), gone],
    ['was exchanged', row => ({ issuer: { ...row, keySha256: [hash('sha256', 'fake-next-key-0123456789')] } }), gone],
    ['is disabled', row => ({ issuer: { ...row, disabled: true } }), gone],
    ['has expired', row => ({ issuer: { ...row, expires: '2020-01-31T00:00:00Z' } }), gone],
    ['moved to another account', row => ({ issuer: { ...row, account: 'other' } }), gone],
    ['lost the scope', row => ({ issuer: { ...row, scopes: ['messages:send'] } }), [403, 'insufficient-scope']],
    ['lost the chat', row => ({ issuer: { ...row, chats: ['whatsapp/100/351*'] } }), [403, 'chat-not-allowed']],
    ['lost every chat', row => ({ issuer: { ...row, chats: [] } }), [403, 'chat-not-allowed']],
    ['has another name', row => ({ renamed: row }), [200, undefined]],
    ['has a second digest', row => ({ issuer: { ...row, keySha256: ['0'.repeat(64), ...row.keySha256] } }), [200, undefined]],
    ['may issue no more', row => ({ issuer: { ...row, scopes: everything as CallerConfig['scopes'] } }), [200, undefined]],
  ])('%s: so the token is told', async ([, change, expected], { start, sandbox }) => {
    const gateway = await start({ accounts: { other: {} }, callers: { issuer: { key: limited.key, scopes: row.scopes } } })
    const token = await issue(gateway, {}, limited.key)
    expect((await gateway.request(messages, { key: token })).status).toBe(200)
    const before = sandbox.calls.length

    gateway.reload(withCallers(sandbox, change(row)))

    expect(told(await gateway.request(messages, { key: token }))).toEqual(expected)
    if (expected[0] !== 200) expect(sandbox.calls).toHaveLength(before)
  })
})

function withCallers(sandbox: Sandbox, callers: Config['callers']): Config {
  const config = readConfig(environment(sandbox))
  return { ...config, callers, accounts: { ...config.accounts, other: config.accounts.default as AccountConfig } }
}
