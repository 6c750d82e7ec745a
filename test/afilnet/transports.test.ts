import { createServer, request } from 'node:http'
import { describe, expect } from 'vitest'
import { transportNames } from '../../src/afilnet/transports.ts'
import { sharedTest as test, transportEnvironment } from '../gateway.ts'
import { calls, chat, type Method } from './calls.ts'
import { listen } from './listeners.ts'

const credentials = 'user=demo%40sandbox.invalid&password=<redacted>'
const basicToken = 'Basic demo@sandbox.invalid:<redacted>'
const parameters: Record<Method, string> = {
  getchatchannels: '',
  getchats: '&platform=whatsapp&platformid=100',
  getmessages: '&platform=whatsapp&platformid=100&destination=34600000000',
  getunreadmessages: '&platform=whatsapp&platformid=100&destination=34600000000',
  sendmessage: '&platform=whatsapp&platformid=100&destination=34600000000&message=Hello',
  sendfile: '&platform=whatsapp&platformid=100&destination=34600000000&type=image&fileurl=https%3A%2F%2Fexample.com%2Fmenu.jpg',
}
const rows = Object.entries(parameters) as [Method, string][] // the literal's own keys

/** Text that would be something else in a form, a header or a line, and its one urlencoded spelling. */
const hostile = [
  ['&password=x&class=y', '%26password%3Dx%26class%3Dy'],
  ['a\r\nX-Header: b\r\n\r\n', 'a%0D%0AX-Header%3A+b%0D%0A%0D%0A'],
  ['\0', '%00'],
  ['👩‍👩‍👧 ñ €', '%F0%9F%91%A9%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7+%C3%B1+%E2%82%AC'],
  ['1+1 = 100%', '1%2B1+%3D+100%25'],
  ['1+1', '1%2B1'],
  ['%41%00%', '%2541%2500%25'],
  ["~!*'();:@$,/?#[]_.-", '%7E%21*%27%28%29%3B%3A%40%24%2C%2F%3F%23%5B%5D_.-'],
  ['\ufeff\u2028\uffff', '%EF%BB%BF%E2%80%A8%EF%BF%BF'],
  [' leading and trailing ', '+leading+and+trailing+'],
] as const

describe('the post transport', () => {
  test.for(rows)('sends %s as a form', async ([method, more], { gateway, sandbox }) => {
    await calls[method](gateway)

    expect(sandbox.calls).toMatchObject([
      {
        httpMethod: 'POST',
        path: '/api/http/',
        query: '',
        contentType: 'application/x-www-form-urlencoded',
        body: `class=chat&method=${method}&${credentials}${more}`,
        answer: { status: 200 },
      },
    ])
    expect(sandbox.calls[0]?.headers).not.toHaveProperty('authorization')
  })

  test('adds the optional parts of a file where they are given', async ({ gateway, sandbox }) => {
    await gateway.post(`${chat}/files`, {
      message: 'Our menu',
      thumbUrl: 'https://example.com/s.jpg',
      fileUrl: 'https://example.com/m.jpg?a=1&b=ñ#c',
      type: 'document',
    })

    const urls = 'fileurl=https%3A%2F%2Fexample.com%2Fm.jpg%3Fa%3D1%26b%3D%C3%B1%23c&thumburl=https%3A%2F%2Fexample.com%2Fs.jpg'
    expect(sandbox.calls[0]?.body).toBe(
      `class=chat&method=sendfile&${credentials}&platform=whatsapp&platformid=100&destination=34600000000&type=document&${urls}&message=Our+menu`,
    )
  })
})

describe('the basic transport', () => {
  test.for(rows)('sends %s as a form, and the account in a header', async ([method, more], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TRANSPORT: 'basic', AFILNET_URL: `${sandbox.url}/api/basic/` } })

    await calls[method](gateway)

    expect(sandbox.calls).toMatchObject([
      {
        httpMethod: 'POST',
        path: '/api/basic/',
        query: '',
        contentType: 'application/x-www-form-urlencoded',
        headers: { authorization: basicToken },
        body: `class=chat&method=${method}${more}`,
        answer: { status: 200 },
      },
    ])
  })
})

describe('the get transport', () => {
  test.for(rows)('sends %s as a query', async ([method, more], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TRANSPORT: 'get' } })

    await calls[method](gateway)

    expect(sandbox.calls).toMatchObject([
      {
        httpMethod: 'GET',
        path: '/api/http/',
        query: `class=chat&method=${method}&${credentials}${more}`,
        contentType: '',
        body: '',
        answer: { status: 200 },
      },
    ])
    expect(sandbox.calls[0]?.headers).not.toHaveProperty('authorization')
  })

  test('takes 4,000 characters and no more', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TRANSPORT: 'get' } })
    const password = encodeURIComponent('fake-canary-password-ñ&=%')
    const query = `class=chat&method=sendmessage&user=demo%40sandbox.invalid&password=${password}${parameters.sendmessage}`
    const room = 4000 - `${sandbox.url}/api/http/?${query}`.length + 'Hello'.length
    const longest = await gateway.post(`${chat}/messages`, { message: 'a'.repeat(room) })

    const { status, json } = await gateway.post(`${chat}/messages`, { message: 'a'.repeat(room + 1) })

    expect(longest.status).toBe(201)
    expect({ status, ...json }).toMatchObject({ status: 413, code: 'payload-too-large', outcome: 'not_applied', retry: 'no' })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('counts what is sent, not what was given', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TRANSPORT: 'get' } })

    const { status } = await gateway.post(`${chat}/messages`, { message: '👍'.repeat(400) })

    expect(status).toBe(413)
    expect(sandbox.calls).toEqual([])
  })
})

describe.for(['post', 'basic', 'get'] as const)('hostile text over the %s transport', transport => {
  test('stays one value', async ({ start, sandbox }) => {
    const path = transport === 'basic' ? 'basic' : 'http'
    const gateway = await start({ env: { AFILNET_TRANSPORT: transport, AFILNET_URL: `${sandbox.url}/api/${path}/` } })

    for (const [message] of hostile) expect(await gateway.post(`${chat}/messages`, { message })).toMatchObject({ status: 201 })

    expect(sandbox.sent.map(({ message }) => message)).toEqual(hostile.map(([text]) => text))
    const forms = sandbox.calls.map(({ body, query }) => (transport === 'get' ? query : body).split('&message=').slice(1))
    expect(forms).toEqual(hostile.map(([, spelling]) => [spelling]))
  })
})

describe('every transport', () => {
  test.for(transportNames)('names its headers with the usual capitals: %s', async (transport, { start, sandbox }) => {
    const names = new Set<string>()
    const port = await listen(
      createServer((incoming, outgoing) => {
        const { method, url, headers, rawHeaders } = incoming
        for (const [i, name] of rawHeaders.entries()) if (i % 2 === 0) names.add(name)
        const forwarded = request(`${sandbox.url}${url}`, { method, headers }, answer => {
          answer.pipe(outgoing.writeHead(answer.statusCode ?? 502, answer.headers))
        })
        incoming.pipe(forwarded)
      }),
    )
    const env = Object.entries(transportEnvironment(sandbox, transport)).map(([name, value]) => [
      name,
      value?.replace(sandbox.url, `http://127.0.0.1:${port}`),
    ])
    const gateway = await start({ env: Object.fromEntries(env) })

    expect((await calls.sendmessage(gateway)).status).toBe(201)

    const undici = ['host', 'connection', 'content-length']
    expect([...names].filter(name => /^[a-z]/.test(name) && !undici.includes(name))).toEqual([])
    expect([...names]).toEqual(expect.arrayContaining(['Accept', 'Accept-Encoding', 'User-Agent']))
  })
})
