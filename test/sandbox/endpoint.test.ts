import { describe, expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { basic, call, chat, form, formHead, type Params, post, raw, test } from './client.ts'

const error = (code: string) => ({ status: 'ERROR', error: code })

const naked = (params: Params) => {
  const { user: _user, password: _password, ...rest } = params
  return form(rest)
}
const multipart = (params: Params) => {
  const body = new FormData()
  for (const [name, value] of Object.entries(params)) body.append(name, value)
  return body
}

type Way = [name: string, transport: string, path: string, init: (params: Params, sandbox: Sandbox) => RequestInit & { query?: string }]
const ways: Way[] = [
  ['GET', 'get', '/api/http/', params => ({ query: form(params) })],
  ['GET without the last slash', 'get', '/api/http', params => ({ query: form(params) })],
  ['a form', 'form', '/api/http/', params => ({ ...formHead, body: form(params) })],
  ['a form with a trailing &', 'form', '/api/http/', params => ({ ...formHead, body: `${form(params)}&` })],
  ['multipart', 'multipart', '/api/http/', params => ({ method: 'POST', body: multipart(params) })],
  ['a POST with all in the query', 'query', '/api/http/', params => ({ method: 'POST', query: form(params) })],
  [
    'Basic with a form',
    'basic',
    '/api/basic/',
    (params, { user, password }) => ({
      method: 'POST',
      headers: { ...formHead.headers, authorization: basic(user, password) },
      body: naked(params),
    }),
  ],
  [
    'Basic with a query',
    'basic',
    '/api/basic',
    (params, { user, password }) => ({ headers: { authorization: basic(user, password) }, query: naked(params) }),
  ],
]

describe('a way in', () => {
  const message = '\uFEFFÑandú + 50 % & "más" =\r\n👍\0'

  test.for(ways)('%s carries a text unchanged', async ([, transport, path, init], { sandbox }) => {
    const { query, ...rest } = init(call(sandbox, 'sendmessage', { ...chat, message }), sandbox)
    const reply = await fetch(`${sandbox.url}${path}${query ? `?${query}` : ''}`, rest)

    expect(await reply.text()).toBe('{"status":"SUCCESS","result":[]}')
    expect(reply.headers.get('content-type')).toBe('text/html; charset=UTF-8')
    expect(sandbox.sent).toMatchObject([{ method: 'sendmessage', ...chat, message }])
    expect(sandbox.calls).toMatchObject([{ id: 1, transport, path, query: query ?? '', answer: { status: 200 }, closedByPeer: false }])
    expect(sandbox.calls[0]?.params).toContainEqual(['message', message])
  })

  test('keeps order, raw query and raw body', async ({ sandbox }) => {
    await fetch(`${sandbox.url}/api/http/?method=getbalance&b=%41`, { ...formHead, body: 'class=user&a=+x' })

    expect(sandbox.calls).toMatchObject([
      {
        query: 'method=getbalance&b=%41',
        body: 'class=user&a=+x',
        bodyBase64: Buffer.from('class=user&a=+x').toString('base64'),
        params: [
          ['method', 'getbalance'],
          ['b', 'A'],
          ['class', 'user'],
          ['a', ' x'],
        ],
      },
    ])
  })
})

describe('a request target in absolute form', () => {
  test.for(['http://www.afilnet.com', 'HTTPS://x:1'])('at %s is read like any other', async (origin, { sandbox }) => {
    const query = form({ class: 'user', method: 'getbalance', user: sandbox.user, password: sandbox.password })
    const reply = await raw(sandbox.url, `GET ${origin}/api/http/?${query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)

    expect(reply).toContain('"status":"SUCCESS"')
    expect(sandbox.calls).toMatchObject([{ path: '/api/http/' }])
  })

  test('of another path is unknown', async ({ sandbox }) => {
    expect(await raw(sandbox.url, 'GET http://x/?a=/api/http/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toContain(' 404 ')
  })
})

describe('Basic', () => {
  const ask = (sandbox: Sandbox, authorization?: string) =>
    fetch(`${sandbox.url}/api/basic/?class=chat&method=getchatchannels`, { headers: authorization ? { authorization } : {} })

  test.for([
    ['no header', undefined, 'MISSING_USER'],
    ['another scheme', 'Bearer abc', 'MISSING_USER'],
    ['no password', basic('demo@sandbox.invalid', ''), 'MISSING_PASSWORD'],
    ['a wrong password', basic('demo@sandbox.invalid', 'x'), 'INCORRECT_USER_PASSWORD'],
  ] as const)('refuses %s with 401', async ([, authorization, code], { sandbox }) => {
    const reply = await ask(sandbox, authorization)

    expect(reply.status).toBe(401)
    expect(reply.headers.get('www-authenticate')).toMatch(/^Basic /)
    expect(await reply.json()).toEqual(error(code))
  })

  test('is loud about credentials among the parameters', async ({ sandbox }) => {
    const reply = await post(sandbox, call(sandbox, 'getchatchannels'), '/api/basic/')

    expect(reply.status).toBe(400)
    expect(await reply.text()).toContain('user')
  })
})

describe('the mark', () => {
  const host = 'Host: x\r\nConnection: close\r\n'

  test.for([
    ['another path', `GET / HTTP/1.1\r\n${host}\r\n`, 404],
    ['a malformed request', 'NONSENSE\r\n\r\n', 400],
    ['a head that is too large', `GET /?${'a'.repeat(70_000)} HTTP/1.1\r\n${host}\r\n`, 431],
    ['an odd expectation', `POST /api/http/ HTTP/1.1\r\n${host}Expect: tea\r\n\r\n`, 417],
    ['CONNECT', `CONNECT x:1 HTTP/1.1\r\n${host}\r\n`, 404],
  ] as const)('is on the answer to %s, which is no call', async ([, bytes, status], { sandbox }) => {
    for (const url of [sandbox.url, sandbox.controlUrl]) {
      const reply = await raw(url, bytes)

      expect(reply).toMatch(/^X-Sandbox: true\r$/m)
      if (url === sandbox.url) expect(reply).toContain(`HTTP/1.1 ${status} `)
    }
    expect(sandbox.calls).toEqual([])
  })

  test('is on answers without a Host', async ({ sandbox }) => {
    expect(await raw(sandbox.url, 'GET /api/http/ HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(/200 OK\r\n.*X-Sandbox: true/s)
  })
})
