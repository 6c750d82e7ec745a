import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { Agent, request } from 'undici'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePort, has } from '../../bench/programs.ts'
import { catalogue } from '../../src/problem/catalogue.ts'
import { listen } from '../afilnet/listeners.ts'
import { startBalancer } from './balancer.ts'

const missing = !has('nginx')
const messages = '/chats/whatsapp/100/34600000000/messages'
const unread = '/chats/whatsapp/100/34600000000/unread'

type Arrival = { method: string; path: string; headers: IncomingMessage['headers']; body: string; connection: object }
type Behaviour = (response: ServerResponse) => void

const answer = (status: number) => (response: ServerResponse) =>
  void response.writeHead(status, { 'content-type': 'application/problem+json' }).end(`{"status":${status}}`)
const drop: Behaviour = ({ socket }) => void socket?.destroy()

/** A stand-in for a gateway: shows which requests reached it, and behaves as the test says. */
async function gateway(behave: Behaviour) {
  const arrivals: Arrival[] = []
  const server = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
    const { method = '', url: path = '', headers, socket: connection } = request
    arrivals.push({ method, path, headers, body: await text(request), connection })
    behave(response)
  })
  return { arrivals, port: await listen(server) }
}

async function balance(...ports: number[]) {
  const { url, log, errors, close } = await startBalancer(ports)
  const agent = new Agent()
  onTestFinished(async () => {
    await agent.destroy()
    await close()
  })
  return {
    url,
    log,
    errors,
    async ask(method: 'GET' | 'POST', path: string, { headers = {}, body }: { headers?: Record<string, string>; body?: string } = {}) {
      const reply = await request(`${url}${path}`, { method, headers, body: body ?? null, dispatcher: agent })
      return { status: reply.statusCode, type: reply.headers['content-type'], text: await reply.body.text() }
    },
  }
}

const many = Array.from({ length: 8 }, (_, index) => index)

describe.skipIf(missing)('deploy/nginx/nginx.conf (needs nginx)', () => {
  test('never sends a POST a second time', async () => {
    const [one, other] = [await gateway(drop), await gateway(drop)]
    const { ask } = await balance(one.port, other.port)

    const reply = await ask('POST', messages, { body: '{"message":"Hello"}' })

    expect(one.arrivals.length + other.arrivals.length).toBe(1)
    expect(reply).toMatchObject({ status: 502, type: 'application/problem+json' })
    expect(JSON.parse(reply.text)).toMatchObject({ status: 502 })
  })

  test.for([
    ['POST', messages, { 'idempotency-key': 'k' }, { outcome: 'unknown', retry: 'same-key' }],
    ['POST', messages, {}, { outcome: 'unknown', retry: 'no' }],
    ['GET', messages, {}, { outcome: 'not_applied', retry: 'yes' }],
    ['GET', messages, { 'idempotency-key': 'k' }, { outcome: 'not_applied', retry: 'yes' }],
    ['GET', unread, { 'idempotency-key': 'k' }, { outcome: 'unknown', retry: 'no' }],
  ] as const)('says of a lost %s %s with %j what may have happened', async ([method, path, headers, said]) => {
    const [one, other] = [await gateway(drop), await gateway(drop)]
    const { ask } = await balance(one.port, other.port)

    expect(JSON.parse((await ask(method, path, { headers, ...(method === 'POST' && { body: '{}' }) })).text)).toMatchObject(said)
  })

  test('passes on no trace of a caller', async () => {
    const one = await gateway(answer(200))
    const { ask } = await balance(one.port, await freePort())
    await ask('GET', messages, { headers: { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, tracestate: 'vendor=1' } })

    expect(one.arrivals).toHaveLength(1)
    expect(Object.keys(one.arrivals[0]?.headers ?? {}).filter(name => name.startsWith('trace'))).toEqual([])
  })

  test.for([
    ['a request line without HTTP', 'hello world\r\n\r\n', 400, 'invalid-request'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400, 'invalid-request'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 400, 'invalid-request'],
    ['a body in gzip', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 400, 'invalid-request'],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 405, 'method-not-allowed'],
    ['a body of 200 kB', 'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n', 413, 'payload-too-large'],
    ['a target of 40 kB', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414, 'uri-too-long'],
    ['a path of its own', 'GET /problem/400 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 404, 'not-found'],
    ['a header of 40 kB', `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`, 431, 'headers-too-large'],
    ['a gateway that is gone', 'GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 502, 'upstream-connection-lost'],
  ] as const)('answers %s with a complete problem', async ([, bytes, status, code]) => {
    const { url } = await balance(await freePort(), await freePort())
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname).on('error', () => {})
    let answer = ''
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.write(bytes)
    await new Promise(resolve => socket.on('close', resolve)) // nginx may reset the connection behind its answer, since it has not read all of the request
    const [head = '', body = ''] = answer.split('\r\n\r\n', 2)

    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head).toMatch(/content-type: application\/problem\+json/i)
    const problem = JSON.parse(body)
    expect(problem).toEqual({
      type: `/problems/${code}`,
      title: expect.any(String),
      status,
      detail: expect.any(String),
      instance: expect.stringMatching(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
      code,
      outcome: 'not_applied',
      retry: status === 502 ? 'yes' : 'no',
      requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    expect(head.toLowerCase()).toContain(`x-request-id: ${problem.requestId}`)
  })

  test('refuses a target beyond all measure as a problem', async () => {
    const { ask } = await balance((await gateway(answer(200))).port, await freePort())

    expect(await ask('GET', `/${'x'.repeat(40_000)}`)).toMatchObject({ status: 414, type: 'application/problem+json' })
  })

  test.for([unread, `${unread}/`, unread.replace('unread', '%75nread?x=1')])('never asks a second time for GET %s', async path => {
    const [one, other] = [await gateway(drop), await gateway(drop)]
    const { ask } = await balance(one.port, other.port)

    const reply = await ask('GET', path)

    expect(reply.status).toBe(502)
    expect([...one.arrivals, ...other.arrivals]).toMatchObject([{ path }])
  })

  test('asks the other gateway when the answer of a read broke off', async () => {
    const [one, other] = [await gateway(drop), await gateway(answer(200))]
    const { ask } = await balance(one.port, other.port)

    const replies = [await ask('GET', messages), await ask('GET', messages)]

    expect(replies.map(({ status }) => status)).toEqual([200, 200])
    expect(one.arrivals.length).toBeGreaterThan(0)
  })

  test('sends everything to the other gateway when one is gone', async () => {
    const other = await gateway(answer(201))
    const { ask } = await balance(await freePort(), other.port)

    for (const _ of many) expect((await ask('POST', messages, { body: '{}' })).status).toBe(201)

    expect(other.arrivals).toHaveLength(many.length)
  })

  test('takes a 503 for an answer, and for no reason to leave a gateway alone', async () => {
    const [one, other] = [await gateway(answer(503)), await gateway(answer(503))]
    const { ask } = await balance(one.port, other.port)

    for (const _ of many) expect(await ask('GET', messages)).toMatchObject({ status: 503, text: '{"status":503}' })

    expect([one.arrivals.length, other.arrivals.length]).toEqual([4, 4])
  })

  test('passes path, host and body on as they came, and the address as it knows it', async () => {
    const [one, other] = [await gateway(answer(200)), await gateway(answer(200))]
    const { ask } = await balance(one.port, other.port)
    const path = '/chats/whatsapp/100/a%2Fb%252F//messages?x=%20y'
    const body = JSON.stringify({ message: 'x'.repeat(100_000) })

    await ask('POST', path, { headers: { host: 'chat.example.com', 'x-forwarded-for': '203.0.113.9' }, body })

    expect([...one.arrivals, ...other.arrivals]).toMatchObject([
      { method: 'POST', path, body, headers: { host: 'chat.example.com', 'x-forwarded-for': '127.0.0.1' } },
    ])
  })

  test('keeps its connections to the gateways', async () => {
    const [one, other] = [await gateway(answer(200)), await gateway(answer(200))]
    const { ask } = await balance(one.port, other.port)

    for (const _ of many) await ask('GET', messages)

    expect(new Set(one.arrivals.map(({ connection }) => connection)).size).toBe(1)
    expect(new Set(other.arrivals.map(({ connection }) => connection)).size).toBe(1)
  })

  test('leaves it to the gateway what is too long, except for a body that it must hold itself', async () => {
    const [one, other] = [await gateway(answer(200)), await gateway(answer(200))]
    const { ask } = await balance(one.port, other.port)

    expect((await ask('GET', `/${'x'.repeat(9_000)}`, { headers: { 'x-long': 'x'.repeat(14_000) } })).status).toBe(200)
    const { status, type, text } = await ask('POST', messages, { body: 'x'.repeat(200_000) })

    const { title } = catalogue['payload-too-large']
    expect({ status, type }).toEqual({ status: 413, type: 'application/problem+json' })
    expect(JSON.parse(text)).toMatchObject({ code: 'payload-too-large', title, type: '/problems/payload-too-large' })
    expect(one.arrivals.length + other.arrivals.length).toBe(1)
  })

  test('writes down what became of each call, and never for whom it was', async () => {
    const one = await gateway(drop)
    const { ask, log, errors } = await balance(one.port, await freePort())

    await ask('POST', messages, {
      headers: { authorization: 'Bearer fake_canary_key_0123456789abcdef' },
      body: '{"message":"fake-canary-text"}',
    })
    await expect.poll(log).toMatch(/ POST 502 /)

    expect(log() + errors()).not.toMatch(/34600000000|whatsapp|canary/)
  })
})

test.skipIf(missing)('docs/operations.md strips the path of PUBLIC_URL, and leaves the rest as it came (needs nginx)', async () => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const [, map = '', server = ''] = /```nginx\n(map .*\n)server \{\n(.*\n)\}\n```/.exec(page) ?? []
  const location = server.replace('http://gateway', 'http://gateways')
  const one = await gateway(answer(200))
  const { url, close } = await startBalancer([one.port, await freePort()], text =>
    text.replace('  server {', `${map}  server {\n${location}`),
  )
  onTestFinished(close)

  for (const target of ['/chats/whatsapp/a%2Fb%252F/messages?before=c_%2B', '/me', '/'])
    await (await request(`${url}/chat-api${target}`)).body.dump()

  expect(one.arrivals.map(({ path }) => path)).toEqual(['/chats/whatsapp/a%2Fb%252F/messages?before=c_%2B', '/me', '/'])
})
