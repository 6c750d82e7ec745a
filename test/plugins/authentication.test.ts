import { hash } from 'node:crypto'
import Fastify from 'fastify'
import { describe, expect } from 'vitest'
import { createAuthentication } from '../../src/plugins/authentication.ts'
import type { Account } from '../../src/upstream/call.ts'
import { canaries, test } from '../gateway.ts'

const chat = '/chats/whatsapp/100/34600000000'

const routes = [
  ['GET', '/channels'],
  ['HEAD', '/channels'],
  ['GET', '/chats/whatsapp/100'],
  ['HEAD', '/chats/whatsapp/100'],
  ['GET', `${chat}/messages`],
  ['HEAD', `${chat}/messages`],
  ['GET', `${chat}/unread`],
  ['POST', `${chat}/messages`],
  ['POST', `${chat}/files`],
  ['GET', '/me'],
  ['HEAD', '/me'],
] as const

const bodyOf = (method: string) =>
  method === 'POST' ? { headers: { 'content-type': 'application/json' }, body: '{"message":"Hello"}' } : { headers: {} }

describe('A route that needs a key', () => {
  test.for([
    ['no key', {}, ''],
    ['a wrong key', { authorization: `Bearer ${'x'.repeat(40)}` }, ''],
    ['a key that is too short', { authorization: 'Bearer short' }, ''],
    ['an empty key', { authorization: 'Bearer ' }, ''],
    ['the right key under Basic', { authorization: `Basic ${canaries.key}` }, ''],
    ['the right key as a Basic password', { authorization: `Basic ${btoa(`demo:${canaries.key}`)}` }, ''],
    ['the right key without a scheme', { authorization: canaries.key }, ''],
    ['the right key and more', { authorization: `Bearer ${canaries.key} more` }, ''],
    ['its digest instead of the key', { authorization: `Bearer ${hash('sha256', canaries.key)}` }, ''],
    ['the right key in the query', {}, `?key=${canaries.key}&access_token=${canaries.key}`],
    ['the right key in another header', { 'x-api-key': canaries.key }, ''],
  ] as const)('refuses %s', async ([, headers, query], { gateway, sandbox }) => {
    for (const [method, path] of routes) {
      const { headers: type, ...body } = bodyOf(method)

      const reply = await gateway.request(path + query, { method, key: null, headers: { ...type, ...headers }, ...body })

      expect(reply, `${method} ${path}`).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer', 'cache-control': 'no-store' },
      })
      if (method !== 'HEAD') expect(reply.json).toMatchObject({ code: 'unauthenticated', outcome: 'not_applied', retry: 'no' })
    }
    expect(sandbox.calls).toEqual([])
  })

  test.for([
    [{}, 'The request has no Authorization header.'],
    [{ authorization: `Basic ${canaries.key}` }, 'The Authorization header is not of the form: Bearer <key>.'],
    [{ authorization: `Bearer ${'x'.repeat(40)}` }, 'The API key is wrong.'],
  ] as const)('says of %j why', async ([headers, detail], { gateway }) => {
    const { json } = await gateway.request('/me', { key: null, headers })

    expect(json.detail).toBe(detail)
  })

  test('takes no key of fewer than 20 characters, even if its digest is configured', async ({ start }) => {
    const short = { key: 'fake-key-of-19-char' }
    const long = { key: 'fake-key-of-20-chars' }
    const gateway = await start({ callers: { short, long } })

    const replies = await Promise.all([short, long].map(({ key }) => gateway.request('/me', { key })))

    expect(replies.map(({ status }) => status)).toEqual([401, 200])
  })

  test('reads the scheme in any case', async ({ gateway }) => {
    const reply = await gateway.request('/me', { key: null, headers: { authorization: `bEARER  ${canaries.key}` } })

    expect(reply.status).toBe(200)
  })
})

describe('Two digests', () => {
  test('both open while a key is rotated', async ({ start }) => {
    const next = 'fake-next-key-0123456789'
    const gateway = await start({ env: { GATEWAY_KEY_SHA256: `${hash('sha256', canaries.key)},${hash('sha256', next)}` } })

    const replies = await Promise.all([canaries.key, next].map(key => gateway.request('/me', { key })))

    expect(replies.map(({ status, json }) => [status, json.caller])).toEqual([
      [200, 'default'],
      [200, 'default'],
    ])
  })
})

const openToken = () => expect.fail('there is no token')

describe('Ten thousand keys', () => {
  test('each belong to their own caller', async () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => `fake-key-of-many-${i}-0123456789`)
    const row = { account: 'default', scopes: [] }
    const callers = Object.fromEntries(keys.map((key, i) => [`caller-${i}`, { ...row, keySha256: [hash('sha256', key)] }]))
    const app = Fastify()
    createAuthentication(app, { callers, open: () => ({}) as Account, openToken }) // nothing is asked of it

    const found = [...keys, `${keys[0]}x`].map(key => app.callerOf(`Bearer ${key}`)?.name)

    expect(found).toEqual([...Object.keys(callers), undefined])
    await app.close()
  })
})

describe('GET /me', () => {
  test('says what the key may do', async ({ start }) => {
    const reader = { key: 'fake-reader-key-0123456789', scopes: ['messages:read'] } as const
    const gateway = await start({ callers: { reader } })

    const reply = await gateway.request('/me', { key: reader.key })

    expect(reply.json).toEqual({ caller: 'reader', account: 'default', scopes: ['messages:read'] })
    expect(reply.headers['cache-control']).toBe('private, no-store')
  })
})

describe('A route without a scope', () => {
  test('does not boot', async () => {
    const app = Fastify()
    createAuthentication(app, { callers: {}, open: () => expect.fail('no account is needed'), openToken })

    expect(() => app.get('/forgotten', async () => 'everyone may read this')).toThrow('GET /forgotten declares no scope')
    await app.close()
  })
})
