import { describe, expect } from 'vitest'
import { test } from '../gateway.ts'

const origin = 'https://app.example.com'
const preflight = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,idempotency-key' }
const chat = '/chats/whatsapp/100/34600000000/messages'
const corsHeaders = (headers: object) => Object.keys(headers).filter(name => name.startsWith('access-control-'))

describe('Another origin', () => {
  test('gets no word of CORS where none is configured', async ({ gateway }) => {
    const read = await gateway.get('/channels', { origin })
    const asked = await gateway.request(chat, { method: 'OPTIONS', headers: preflight, key: null })

    expect(corsHeaders(read.headers)).toEqual([])
    expect(read.headers.vary).toBe('Authorization')
    expect(asked).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD, POST' } })
    expect(corsHeaders(asked.headers)).toEqual([])
  })

  test('may call if it is one of those configured, and never with cookies', async ({ start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: `https://other.example.com,${origin}` } })

    const asked = await gateway.request(chat, { method: 'OPTIONS', headers: preflight, key: null })
    const sent = await gateway.post(chat, { message: 'Hello' }, { origin })
    const refused = await gateway.request('/me', { key: null, headers: { origin } })

    expect(asked).toMatchObject({
      status: 204,
      text: '',
      headers: {
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
        'access-control-max-age': '600',
        'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id',
        vary: 'Origin',
      },
    })
    for (const { status, headers } of [sent, refused]) {
      expect([201, 401]).toContain(status)
      expect(headers).toMatchObject({ 'access-control-allow-origin': origin, vary: 'Origin' })
      expect(headers['access-control-expose-headers']).toBe(
        'ETag, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotency-Replayed, Preference-Applied',
      )
    }
    for (const { headers } of [asked, sent, refused]) expect(headers['access-control-allow-credentials']).toBeUndefined()
  })

  test('reads what is wrong with a URL that cannot be decoded', async ({ start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: origin } })

    const asked = await gateway.request('/chats/%zz', { method: 'OPTIONS', headers: preflight, key: null })
    const read = await gateway.get('/chats/%zz', { origin })

    expect(asked).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': origin, vary: 'Origin' } })
    expect(read).toMatchObject({ status: 400, headers: { 'access-control-allow-origin': origin, vary: 'Origin' } })
    expect(read.json.code).toBe('invalid-request')
  })

  test.for([
    'https://app.example.com.evil.example',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://APP.example.com',
    'null',
    '*',
    '',
  ])('is refused if it is %j instead', async (other, { start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: origin } })

    const asked = await gateway.request(chat, { method: 'OPTIONS', headers: { ...preflight, origin: other }, key: null })
    const read = await gateway.get('/channels', { origin: other })

    expect(asked.status).toBe(405)
    expect(read.status).toBe(200)
    expect([...corsHeaders(asked.headers), ...corsHeaders(read.headers)]).toEqual([])
    expect(read.headers.vary).toBe('Authorization, Origin')
  })

  test('that names no method gets the methods of the path', async ({ start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: origin } })

    const asked = await gateway.request('/channels', { method: 'OPTIONS', headers: { origin } })

    expect(asked).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD', 'access-control-allow-origin': origin } })
  })

  test('can read an error from before there was a route', async ({ start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: origin } })

    for (const path of ['/nowhere', '/channels/x', '/chats/whatsapp']) {
      expect((await gateway.get(path, { origin })).headers['access-control-allow-origin']).toBe(origin)
    }
  })

  test('gets 304 with what it needs to read it', async ({ start }) => {
    const gateway = await start({ env: { CORS_ORIGINS: origin } })
    const first = await gateway.get('/channels', { origin })

    const again = await gateway.get('/channels', { origin, 'if-none-match': String(first.headers.etag) })

    expect(again).toMatchObject({ status: 304, headers: { 'access-control-allow-origin': origin, vary: 'Authorization, Origin' } })
  })
})
