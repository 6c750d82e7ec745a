import { describe, expect } from 'vitest'
import { scopes } from '../../src/access.ts'
import { hold, requestsInFlight, sharedTest as test } from '../gateway.ts'

const mine = '/chats/whatsapp/100/34600000000'
const body = { headers: { 'content-type': 'application/json' }, body: '{"message":"Hello"}' }
const token = {
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ chat: { platform: 'whatsapp', platformId: '100', destination: '34600000000' }, scopes: ['messages:read'] }),
}
const file = { headers: { 'content-type': 'application/json' }, body: '{"type":"image","fileUrl":"https://example.com/menu.jpg"}' }

const callers = {
  full: { key: 'fake-full-key-0123456789', chats: ['whatsapp/100/*'] },
  expired: { key: 'fake-expired-key-0123456789', expires: '2020-01-31T00:00:00Z' },
  disabled: { key: 'fake-disabled-key-0123456789', disabled: true },
  bare: { key: 'fake-bare-key-0123456789', scopes: [] },
  elsewhere: { key: 'fake-elsewhere-key-0123456789', chats: ['telegram/*/*', 'whatsapp/100/351*', 'whatsapp/10/*', 'whatsapp/1000/*'] },
}

/** Every route that needs a key: what it asks for, what it needs, and what a caller of other chats hears. */
const routes = [
  ['GET', '/channels', {}, 'channels:read', 200],
  ['HEAD', '/channels', {}, 'channels:read', 200],
  ['GET', '/chats/whatsapp/100', {}, 'chats:read', 403],
  ['HEAD', '/chats/whatsapp/100', {}, 'chats:read', 403],
  ['GET', `${mine}/messages`, {}, 'messages:read', 403],
  ['HEAD', `${mine}/messages`, {}, 'messages:read', 403],
  ['GET', `${mine}/unread`, {}, 'messages:read', 403],
  ['POST', `${mine}/messages`, body, 'messages:send', 403],
  ['POST', `${mine}/files`, file, 'files:send', 403],
  ['POST', '/tokens', token, 'tokens:issue', 403],
  ['GET', '/me', {}, undefined, 200],
  ['GET', '/sends', {}, undefined, 200],
] as const

describe('The matrix of routes and keys', () => {
  test.for(routes)('%s %s', async ([method, path, request, scope, elsewhere], { start, sandbox }) => {
    const needed = path === '/tokens' ? (['tokens:issue', 'messages:read'] as const) : scope ? [scope] : []
    const full = { ...callers.full, scopes: needed }
    const bare = { ...callers.bare, scopes: scopes.filter(name => name !== scope) }
    const gateway = await start({ callers: { ...callers, full, bare } })
    const ask = async (key: string | null) => {
      const before = sandbox.calls.length
      const { status, json } = await gateway.request(path, { method, ...request, key })
      return { status, code: json?.code, asked: sandbox.calls.length > before }
    }
    const refused = (status: number, code: string) => ({ status, code: method === 'HEAD' ? undefined : code, asked: false })

    expect(await ask(null)).toEqual(refused(401, 'unauthenticated'))
    expect(await ask('fake-wrong-key-0123456789')).toEqual(refused(401, 'unauthenticated'))
    expect(await ask(callers.expired.key)).toEqual(refused(401, 'unauthenticated'))
    expect(await ask(callers.disabled.key)).toEqual(refused(401, 'unauthenticated'))
    if (scope) expect(await ask(callers.bare.key)).toEqual(refused(403, 'insufficient-scope'))
    if (elsewhere === 403) expect(await ask(callers.elsewhere.key)).toEqual(refused(403, 'chat-not-allowed'))
    else expect(await ask(callers.elsewhere.key)).toMatchObject({ status: elsewhere })
    expect(await ask(callers.full.key)).toMatchObject({
      status: method === 'POST' ? 201 : 200,
      asked: scope !== undefined && path !== '/tokens',
    })
  })

  test('leaves out no route of the API document', async ({ gateway }) => {
    const { json } = await gateway.get('/openapi.json')
    const keyed = Object.entries<Record<string, { security?: unknown[] }>>(json.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { security }]) => (security === undefined ? [`${method.toUpperCase()} ${path}`] : [])),
    )

    const covered = routes.map(
      ([method, path]) =>
        `${method} ${path.replace('/whatsapp/100', '/{platform}/{platformId}').replace('/34600000000', '/{destination}')}`,
    )
    const elsewhere = [
      'DELETE /media/{id}',
      'DELETE /sends/{id}',
      'GET /events',
      'GET /media/{id}',
      'GET /sends/{id}',
      'GET /webhooks',
      'GET /webhooks/{name}/deliveries',
      'POST /media',
      'POST /sends/{id}/settle',
      'POST /webhooks/{name}/redrive',
      'POST /webhooks/{name}/test',
    ] // have tests of their own
    expect(keyed.filter(route => !covered.includes(route)).sort()).toEqual(elsewhere)
  })

  test('shows a send to the caller who made it and to no other', async ({ start }) => {
    const gateway = await start({ callers })
    const { json: send, headers } = await gateway.request(`${mine}/messages`, { method: 'POST', ...body, key: callers.full.key })
    const ask = async (key: string | null, path = `/sends/${send.id}`) => {
      const { status, json } = await gateway.request(path, { key })
      return [status, json.code ?? json.items?.length ?? json.state]
    }

    expect(headers.location).toBe(`/sends/${send.id}`)
    expect(await ask(callers.full.key)).toEqual([200, 'accepted'])
    expect(await ask(callers.elsewhere.key)).toEqual([404, 'send-not-found'])
    expect(await ask(callers.bare.key)).toEqual([404, 'send-not-found'])
    expect(await ask(callers.expired.key)).toEqual([401, 'unauthenticated'])
    expect(await ask(null)).toEqual([401, 'unauthenticated'])
    expect(await ask(callers.full.key, '/sends')).toEqual([200, 1])
    expect(await ask(callers.elsewhere.key, '/sends')).toEqual([200, 0])
  })
})

describe('A caller of certain chats', () => {
  test.for([
    '/chats/whatsapp%2F100/34600000000/messages',
    '/chats/whatsapp%2F100/100/34600000000/messages',
    '/chats/whatsapp/100%2F34600000000/x/messages',
    '/chats/whatsapp/101/34600000000/messages',
    '/chats/WhatsApp/100/34600000000/messages',
    '/chats/whatsapp/100%00/34600000000/messages',
    '/chats/whatsapp/%2e%2e/34600000000/messages',
    '/chats/whatsapp/../whatsapp/101/messages',
    '/chats/whatsapp//34600000000/messages',
    '/chats//100/34600000000/messages',
    '/chats/whatsapp/100*/34600000000/messages',
    '/chats/*/*/*/messages',
    '/chats/whatsapp/%2531%30%30/34600000000/messages',
    '/chats/whatsapp/%EF%BC%91%EF%BC%90%EF%BC%90/34600000000/messages',
    '/chats/whatsapp/101',
    '/chats/telegram/100',
  ])('gets nothing by %s', async (path, { start, sandbox }) => {
    const gateway = await start({ callers: { narrow: { key: 'fake-narrow-key-0123456789', chats: ['whatsapp/100/*'] } } })

    const reply = await gateway.raw(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer fake-narrow-key-0123456789\r\nConnection: close\r\n\r\n`,
    )

    expect(reply).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(sandbox.calls).toEqual([])
  })

  test('hears how to spell a number that no pattern can allow', async ({ start, sandbox }) => {
    const narrow = { key: 'fake-narrow-key-0123456789', chats: ['whatsapp/100/346*'] }
    const gateway = await start({ callers: { narrow } })
    const ask = async (method: string, destination: string) => {
      const path = `/chats/whatsapp/100/${encodeURIComponent(destination)}/messages`
      const { status, json } = await gateway.request(path, { method, ...(method === 'POST' && body), key: narrow.key })
      return [status, json.code, json.errors?.[0].pointer]
    }

    for (const method of ['GET', 'POST']) {
      expect(await ask(method, '00 34 600 000 000')).toEqual([400, 'invalid-request', '/destination'])
      expect(await ask(method, '+0034600000000')).toEqual([400, 'invalid-request', '/destination'])
      for (const other of ['35100000000', '0035100000000', '00346'])
        expect(await ask(method, other)).toEqual([403, 'chat-not-allowed', undefined])
    }
    expect(sandbox.calls).toEqual([])
  })

  test('gets its own, however it is encoded', async ({ start, sandbox }) => {
    const narrow = { key: 'fake-narrow-key-0123456789', chats: ['whatsapp/100/*'] }
    const gateway = await start({ callers: { narrow } })

    const reply = await gateway.request('/chats/%77hatsapp/%31%300/34600%30%30%30000/messages', { key: narrow.key })

    expect(reply.status).toBe(200)
    expect(Object.fromEntries(sandbox.calls[0]?.params ?? [])).toMatchObject({
      platform: 'whatsapp',
      platformid: '100',
      destination: '34600000000',
    })
  })

  test('reads a channel’s conversations only with a last segment of *', async ({ start }) => {
    const gateway = await start({
      callers: {
        some: { key: 'fake-some-key-0123456789', chats: ['whatsapp/100/346*'] },
        all: { key: 'fake-all-key-0123456789', chats: ['whatsapp/1*/*'] },
      },
    })

    const some = await gateway.request('/chats/whatsapp/100', { key: 'fake-some-key-0123456789' })
    const one = await gateway.request(`${mine}/messages`, { key: 'fake-some-key-0123456789' })
    const other = await gateway.request('/chats/whatsapp/100/351900000000/messages', { key: 'fake-some-key-0123456789' })
    const all = await gateway.request('/chats/whatsapp/100', { key: 'fake-all-key-0123456789' })

    expect([some, one, other, all].map(({ status }) => status)).toEqual([403, 200, 403, 200])
  })

  test('sees the channels that it reaches, from the one answer that all share', async ({ start, sandbox }) => {
    const gateway = await start({
      callers: {
        whatsapp: { key: 'fake-whatsapp-key-0123456789', chats: ['whatsapp/*/34*'] },
        telegram: { key: 'fake-telegram-key-0123456789', chats: ['telegram/*/*'] },
        nothing: { key: 'fake-nothing-key-0123456789', chats: [] },
        everything: { key: 'fake-everything-key-0123456789' },
      },
    })
    const release = hold(sandbox)
    const keys = ['whatsapp', 'telegram', 'nothing', 'everything'].map(name => `fake-${name}-key-0123456789`)
    const reads = keys.map(key => gateway.request('/channels', { key }))
    await expect.poll(() => requestsInFlight(gateway)).toBe(4)
    release()
    const replies = await Promise.all(reads)

    const platforms = replies.map(({ json }) => [...new Set(json.items.map(({ platform }: { platform: string }) => platform))].sort())
    expect(platforms).toEqual([['whatsapp'], ['telegram'], [], ['operator', 'telegram', 'webchat', 'whatsapp']])
    expect(sandbox.calls).toHaveLength(1)
    expect(new Set(replies.map(({ headers }) => headers.etag)).size).toBe(4)

    sandbox.removeChannel('telegram', '200')
    const known = replies.map(({ headers }) => ({ 'if-none-match': String(headers.etag) }))
    const again = await Promise.all(keys.map((key, i) => gateway.request('/channels', { key, headers: known[i] ?? {} })))
    expect(again.map(({ status }) => status)).toEqual([304, 200, 304, 200]) // no tag tells of the channels of others
  })

  test('hears of its rights, its limits and its end', async ({ start }) => {
    const limited = {
      key: 'fake-limited-key-0123456789',
      scopes: ['messages:send'],
      chats: ['whatsapp/100/*'],
      expires: '2999-01-31T00:00:00Z',
      rateLimit: { requestsPerMinute: 600, sendsPerDay: 1000 },
    } as const
    const gateway = await start({ callers: { limited } })

    const { json } = await gateway.request('/me', { key: limited.key })

    const { key, ...rights } = limited
    expect(json).toEqual({ caller: 'limited', account: 'default', ...rights })
  })

  test('learns that its key is expired or disabled, which no other caller does', async ({ start }) => {
    const gateway = await start({ callers })

    const replies = await Promise.all([callers.expired.key, callers.disabled.key].map(key => gateway.request('/me', { key })))

    expect(replies.map(({ json }) => json.detail)).toEqual(['This key has expired.', 'This key is disabled.'])
  })
})

test('every scope is one that some route needs', () => {
  const elsewhere = ['events:read', 'media:write', 'webhooks:read', 'webhooks:write'] // have tests of their own
  expect([...new Set([...elsewhere, ...routes.map(([, , , scope]) => scope).filter(Boolean)])].sort()).toEqual([...scopes].sort())
})
