import { once } from 'node:events'
import { METHODS } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { canaries, readAnswers, sharedTest as test } from '../gateway.ts'

const chat = '/chats/telegram/200/700100200'
const key = `Authorization: Bearer ${canaries.key}\r\n`

/** A request that ends its connection, as it stands on the wire. */
const wire = (line: string, headers = '', body = '') =>
  `${line} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n${key}${headers}\r\n${body}`
const usualHeaders = 3 // of `wire`
const post = (headers: string, body: string) => wire(`POST ${chat}/messages`, headers, body)
const json = (body: string) => post(`Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`, body)

/** What every problem has. */
const problem = (status: number, code: string) => ({
  status,
  headers: {
    'content-type': 'application/problem+json; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringMatching(/^default-src 'none';.* frame-ancestors 'none'$/),
    'x-request-id': expect.stringMatching(/^[A-Za-z0-9_-]{8,64}$/),
  },
  json: { type: `/problems/${code}`, status, code, outcome: 'not_applied', instance: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/) },
})

const paths = [
  ['/channels', 'GET, HEAD'],
  ['/%63hannels', 'GET, HEAD'],
  ['/channels?x=1', 'GET, HEAD'],
  ['/channels#x', 'GET, HEAD'],
  ['http://elsewhere/channels', 'GET, HEAD'],
  ['HTTP://elsewhere/channels', 'GET, HEAD'],
  ['/chats/telegram/200', 'GET, HEAD'],
  ['/chats/telegram/a%2Fb', 'GET, HEAD'],
  ['/chats/telegram/', 'GET, HEAD'],
  ['/chats/telegram//x/messages', 'GET, HEAD, POST'],
  [`${chat}/messages`, 'GET, HEAD, POST'],
  [`${chat}/unread`, 'GET'],
  [`${chat}/files`, 'POST'],
  ['/media/x', 'DELETE, GET, HEAD'],
  ['/me', 'GET, HEAD'],
  ['/problems/not-found', 'GET, HEAD'],
  ['/health/live', 'GET, HEAD'],
  ['/health/ready', 'GET, HEAD'],
  ['/openapi.json', 'GET, HEAD'],
  ['/docs', 'GET, HEAD'],
  ['/docs/', 'GET, HEAD'],
  ['/docs/static/index.css', 'GET, HEAD'],
] as const

describe('A known path', () => {
  test.for(paths)('%s takes %s and says so to every other method', async ([path, allow], { gateway, sandbox }) => {
    const others = METHODS.filter(method => !allow.split(', ').includes(method))

    const answers = await Promise.all(
      others.map(async method => [method, readAnswers(await gateway.raw(wire(`${method} ${path}`)))] as const),
    )

    expect([...others, ...allow.split(', ')]).toEqual(expect.arrayContaining(['QUERY', 'TRACE', 'OPTIONS', 'CONNECT', 'DELETE']))
    for (const [method, [answer]] of answers) {
      if (method === 'HEAD') expect(answer, method).toMatchObject({ status: 405, headers: { allow } })
      else expect(answer, method).toMatchObject(problem(405, 'method-not-allowed'))
      expect(answer?.headers.allow, method).toBe(allow)
    }
    expect(sandbox.calls).toEqual([])
  })

  test('refuses another method with a body as well', async ({ gateway }) => {
    const body = 'Content-Type: text/plain\r\nContent-Length: 3\r\n'

    const answers = await Promise.all(['DELETE', 'QUERY', 'PUT'].map(method => gateway.raw(wire(`${method} /channels`, body, 'abc'))))

    for (const answer of answers) expect(readAnswers(answer)).toMatchObject([problem(405, 'method-not-allowed')])
  })
})

describe('A tunnel', () => {
  test.for(['host:443', '/%zz', '/nothing', '*'])('to %s is refused with all methods that there are', async (target, { gateway }) => {
    const answers = readAnswers(await gateway.raw(wire(`CONNECT ${target}`)))

    expect(answers).toMatchObject([problem(405, 'method-not-allowed')])
    expect(answers[0]?.headers.allow).toBe('GET, HEAD, POST')
  })

  test('whose caller leaves at once affects no other caller', async ({ gateway }) => {
    for (let i = 0; i < 20; i++) {
      const socket = gateway.open()
      await new Promise<void>(resolve => socket.write(wire('CONNECT host:443'), () => resolve()))
      socket.resetAndDestroy()
    }

    expect((await gateway.get('/health/live')).status).toBe(200)
  })
})

describe('An unknown path', () => {
  test.for([
    '*',
    '//channels',
    '/channels/',
    '/channels;a=b',
    '/Channels',
    '/sendings',
    `${chat}%2Fmessages`,
    '/docs/static/nothing.js',
    '/docs/static/%00',
    '/docs/static/a%00.css',
    '/docs/static/.',
    `/docs/static/${'a'.repeat(5_000)}`,
    '/docs/static/..%2f..%2fpackage.json',
    '/admin',
    '/metrics',
  ])('%s gets 404', async (path, { gateway, sandbox }) => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
      if (path.startsWith('/docs/') && method !== 'GET') continue // any path there is a known one
      const answer = await gateway.raw(wire(`${method} ${path}`))

      expect(readAnswers(answer), method).toMatchObject([problem(404, 'not-found')])
    }
    expect(sandbox.calls).toEqual([])
  })
})

describe('A path parameter', () => {
  const party = '👩'
  test.for([
    ['a%2Fb', 'a/b'],
    ['a%252Fb', 'a%2Fb'],
    ['a%25b', 'a%b'],
    ['a%20b%3Fc%23d%26e', 'a b?c#d&e'],
    ['a+b', 'a+b'],
    ['..%2F..', '../..'],
    ['%26password%3Dx', '&password=x'],
    ['%C3%B1', 'ñ'],
    ['x'.repeat(128), 'x'.repeat(128)],
    [encodeURIComponent(party.repeat(128)), party.repeat(128)],
  ] as const)('%s arrives at Afilnet decoded once', async ([encoded, decoded], { gateway, sandbox }) => {
    await gateway.get(`/chats/telegram/${encoded}/${encoded}/messages`)

    expect(sandbox.calls.map(({ params }) => params.slice(-2))).toEqual([
      [
        ['platformid', decoded],
        ['destination', decoded],
      ],
    ])
  })

  test.for([
    ['no character at all', '', 'telegram'],
    ['a null byte', 'a%00b', 'telegram'],
    ['a line break', 'a%0D%0Ab', 'telegram'],
    ['a control character', 'a%1Fb', 'telegram'],
    ['a C1 control character', 'a%C2%85b', 'telegram'],
    ['129 characters', 'x'.repeat(129), 'telegram'],
    ['129 characters of several bytes', encodeURIComponent(party.repeat(129)), 'telegram'],
    ['a broken escape', 'a%zz', 'telegram'],
    ['half an escape', 'a%2', 'telegram'],
    ['an escape that is not UTF-8', 'a%ff', 'telegram'],
    ['half a surrogate pair', '%ED%A0%80', 'telegram'],
    ['a blank in a WhatsApp destination', '34600000000%2034600000001', 'whatsapp'],
    ['a platform of another name', '1', 'signal'],
    ['a platform in capitals', '1', 'WhatsApp'],
  ] as const)('with %s is refused', async ([, destination, platform], { gateway, sandbox }) => {
    const chat = `/chats/${platform}/200/${destination}`
    const body = '{"message":"Hello"}'
    const head = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`

    for (const bytes of [wire(`GET ${chat}/messages`), wire(`GET ${chat}/unread`), wire(`POST ${chat}/messages`, head, body)])
      expect(readAnswers(await gateway.raw(bytes))).toMatchObject([problem(400, 'invalid-request')])

    expect(sandbox.calls).toEqual([])
  })
})

describe('What Node or Fastify would refuse in words of their own', () => {
  const big = 65_537
  const chunked = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n'
  const typed = (type: string) => `Content-Type: ${type}\r\nContent-Length: 2\r\n`

  test.for([
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'invalid-request'],
    ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01', 400, 'invalid-request'],
    ['an unknown method', wire('BREW /channels'), 400, 'invalid-request'],
    ['no Host', `GET /channels HTTP/1.1\r\nConnection: close\r\n${key}\r\n`, 400, 'invalid-request'],
    ['an empty Host', `GET /channels HTTP/1.1\r\nHost:\r\nConnection: close\r\n${key}\r\n`, 400, 'invalid-request'],
    [
      'two Content-Types',
      wire(`POST ${chat}/messages`, 'Content-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n'),
      400,
      'invalid-request',
    ],
    ['two keys', wire('GET /me', `Authorization: Bearer ${'x'.repeat(40)}\r\n`), 400, 'invalid-request'],
    ['one key twice', wire('GET /me', key), 400, 'invalid-request'],
    ['no version', 'GET /health/live\r\n\r\n', 400, 'invalid-request'],
    ['HTTP/0.9', wire('GET /health/live').replace('HTTP/1.1', 'HTTP/0.9'), 400, 'invalid-request'],
    ['HTTP/1.2', wire('GET /health/live').replace('HTTP/1.1', 'HTTP/1.2'), 400, 'invalid-request'],
    ['HTTP/2.0', wire('GET /health/live').replace('HTTP/1.1', 'HTTP/2.0'), 400, 'invalid-request'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid-request'],
    ...[
      'gzip',
      'gzip, chunked',
      'identity',
      'xchunked',
      'chunked;q=1',
      'chunked, chunked',
      'chunked\r\nTransfer-Encoding: chunked',
      '',
    ].map(
      coding =>
        [
          `the transfer coding ${JSON.stringify(coding)}`,
          post(`Transfer-Encoding: ${coding}\r\n`, '0\r\n\r\n'),
          400,
          'invalid-request',
        ] as const,
    ),
    ['chunks under HTTP/1.0', post(chunked, '0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0'), 400, 'invalid-request'],
    ...['2, 2', '+2', '-2', '0x2', '', '99999999999999999999', '2\r\nContent-Length: 2'].map(
      length => [`the length ${JSON.stringify(length)}`, post(`Content-Length: ${length}\r\n`, '{}'), 400, 'invalid-request'] as const,
    ),
    ...['a, b', 'a/b', 'u@a', 'a b', 'a:b', '\xe9'].map(
      host => [`the host ${JSON.stringify(host)}`, wire('GET /me').replace('gateway', host), 400, 'invalid-request'] as const,
    ),
    ['a folded header', wire('GET /me', 'X: a\r\n b\r\n'), 400, 'invalid-request'],
    ['a blank before a colon', wire('GET /me', 'X : a\r\n'), 400, 'invalid-request'],
    ['a NUL in a header', wire('GET /me', 'X: a\0b\r\n'), 400, 'invalid-request'],
    ['a bare line feed', wire('GET /me').replace('gateway\r\n', 'gateway\n'), 400, 'invalid-request'],
    ['a bare carriage return', wire('GET /me', 'X: a\rb\r\n'), 400, 'invalid-request'],
    ['a method in lower case', wire('get /me'), 400, 'invalid-request'],
    ['a target without a slash', wire('GET me'), 400, 'invalid-request'],
    ['a target of another scheme', wire('GET ftp://elsewhere/me'), 404, 'not-found'],
    ['OPTIONS for the whole server', wire('OPTIONS *'), 404, 'not-found'],
    ['an odd Expect without a body', wire('GET /me', 'Expect: pie\r\n'), 417, 'expectation-failed'],
    ['two Hosts', wire('GET /channels', 'Host: other\r\n'), 400, 'invalid-request'],
    ['two lengths', post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), 400, 'invalid-request'],
    ['a length and chunks', post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400, 'invalid-request'],
    ['a broken chunk', post(chunked, 'zz\r\n'), 400, 'invalid-request'],
    ['a header without a colon', wire('GET /channels', 'nonsense\r\n'), 400, 'invalid-request'],
    ['a bad URL', wire('GET /%zz'), 400, 'invalid-request'],
    ['a bad URL under an odd method', wire('QUERY /%zz'), 400, 'invalid-request'],
    ['a body over 64 KiB', json(' '.repeat(big)), 413, 'payload-too-large'],
    ['chunks over 64 KiB', post(chunked, `${big.toString(16)}\r\n${' '.repeat(big)}\r\n0\r\n\r\n`), 413, 'payload-too-large'],
    ['a target of 8,192 bytes', wire(`GET /${'a'.repeat(8_191)}`), 404, 'not-found'],
    ['a target of 8,193 bytes', wire(`GET /${'a'.repeat(8_192)}`), 414, 'uri-too-long'],
    ['a query of 8,193 bytes', wire(`GET /channels?${'a'.repeat(8_183)}`), 414, 'uri-too-long'],
    ['extensions of a chunk over 16 KiB', post(chunked, `1;${'x'.repeat(20_000)}\r\n{\r\n0\r\n\r\n`), 413, 'payload-too-large'],
    ['a target of 20 KB', wire(`GET /${'a'.repeat(20_000)}`), 414, 'uri-too-long'],
    ['a target of 200 KB', wire(`GET /${'a'.repeat(200_000)}`), 414, 'uri-too-long'],
    ['a text', post(typed('text/plain'), '{}'), 415, 'unsupported-media-type'],
    ['a form', post(typed('application/x-www-form-urlencoded'), 'a='), 415, 'unsupported-media-type'],
    ['a type with a tab in it', post(typed('application/json\ta'), '{}'), 415, 'unsupported-media-type'],
    ['a type that only begins like JSON', post(typed('application/jsonx'), '{}'), 415, 'unsupported-media-type'],
    ['a body without a type', post('Content-Length: 2\r\n', '{}'), 415, 'unsupported-media-type'],
    ['an odd Expect', post('Expect: pie\r\nContent-Length: 2\r\n', '{}'), 417, 'expectation-failed'],
    ['headers of 20 KB', wire('GET /channels', `X-Long: ${'a'.repeat(20_000)}\r\n`), 431, 'headers-too-large'],
    [
      'headers of 20 KB after a target of 8,192 bytes',
      wire(`GET /${'a'.repeat(8_191)}`, `X: ${'a'.repeat(20_000)}\r\n`),
      431,
      'headers-too-large',
    ],
    ['headers of 200 KB', wire('GET /channels', `X-Long: ${'a'.repeat(200_000)}\r\n`), 431, 'headers-too-large'],
    [
      'a target and headers of 8,192 bytes each',
      wire(`GET /${'a'.repeat(8_191)}`, `X: ${'a'.repeat(8_192)}\r\n`),
      431,
      'headers-too-large',
    ],
    ['1,001 headers', wire('GET /channels', 'A:\r\n'.repeat(1_001 - usualHeaders)), 431, 'headers-too-large'],
  ] as const)('%s gets a problem', async ([, bytes, status, code], { gateway, sandbox }) => {
    const answers = readAnswers(await gateway.raw(bytes))

    expect(answers).toMatchObject([problem(status, code)])
    expect(answers[0]?.json.requestId).toBe(answers[0]?.headers['x-request-id'])
    expect(sandbox.calls).toEqual([])
  })

  test.for([
    ['authorization', wire('GET /me', key), 'occurs more than once; send it once'],
    ['host', wire('GET /me').replace('Host: gateway\r\n', ''), 'is missing; HTTP/1.1 requires it'],
    ['transfer-encoding', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), 'is not chunked, the only coding that is accepted'],
  ] as const)('names the header %s', async ([name, bytes, detail], { gateway }) => {
    const [answer] = readAnswers(await gateway.raw(bytes))

    expect(answer?.json.errors).toEqual([{ in: 'header', pointer: `/${name}`, detail }])
  })

  test('passes what is just within the limits', async ({ gateway, sandbox }) => {
    const url = await gateway.raw(wire(`GET /problems/not-found?${'a'.repeat(8_170)}`))
    const body = await gateway.raw(json(`{"message":"${'a'.repeat(65_536 - 14)}"}`))
    const http10 = await gateway.raw('GET /health/live HTTP/1.0\r\nExpect: pie\r\n\r\n')
    const chunks = await gateway.raw(post(chunked.replace('chunked', 'Chunked'), '13\r\n{"message":"Hello"}\r\n0\r\n\r\n'))
    const host = await gateway.raw(wire('GET /me').replace('gateway', '[2001:DB8::1]:80'))
    const headers = await gateway.raw(wire('GET /me', `X: ${'a'.repeat(16_000)}\r\n`))
    const manyHeaders = await gateway.raw(wire('GET /me', 'A:\r\n'.repeat(1_000 - usualHeaders)))

    const statuses = [url, body, http10, chunks, host, headers, manyHeaders].map(bytes => readAnswers(bytes)[0]?.status)
    expect(statuses).toEqual([200, 201, 200, 201, 200, 200, 200])
    expect(sandbox.sent).toMatchObject([{ message: 'a'.repeat(65_536 - 14) }, { message: 'Hello' }])
  })

  test('lets a caller who sends all of its 10 MiB before it reads have the answer', async ({ gateway, sandbox }) => {
    const socket = gateway.open().pause()
    const body = Buffer.alloc(10 * 1024 * 1024, ' ')

    socket.write(post(`Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`, ''))
    const failure = await new Promise(resolve => socket.write(body, resolve))

    expect(failure ?? undefined).toBeUndefined()
    expect(readAnswers(await text(socket))).toMatchObject([problem(413, 'payload-too-large')])
    expect(sandbox.calls).toEqual([])
  })

  test.for(['100-continue', '100-Continue'])('answers %s', async (expect100, { gateway }) => {
    const body = '{"message":"Hello"}'

    const answer = await gateway.raw(
      post(`Expect: ${expect100}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`, body),
    )

    expect(answer).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201 Created\r\n/)
  })
})

describe('A caller who is too slow', () => {
  const timeouts = { headersMs: 200, requestMs: 400, checkEveryMs: 25 }

  test.for([
    ['half a request line', 'GET /chan'],
    ['half of the headers', `GET /channels HTTP/1.1\r\nHost: gateway\r\n${key}`],
    ['half of the body', json('{"message":"Hello"}').slice(0, -5)],
    ['half of a chunk', post('Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n', '20\r\n{"message')],
  ] as const)('with %s gets 408', async ([, bytes], { start, sandbox }) => {
    const gateway = await start({ timeouts })

    const answers = readAnswers(await gateway.raw(bytes))

    expect(answers).toMatchObject([problem(408, 'request-timeout')])
    expect(answers[0]?.json.retry).toBe('yes')
    expect(sandbox.calls).toEqual([])
  })

  test('gets 408 even if a byte comes now and then', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts })
    const socket = gateway.open()
    const drip = setInterval(() => socket.write('x'), 50)

    socket.write(json('{"message":"Hello"}').slice(0, -15))
    const answer = await text(socket)
    clearInterval(drip)

    expect(readAnswers(answer)).toMatchObject([problem(408, 'request-timeout')])
    expect(sandbox.calls).toEqual([])
  })

  test('gets no second answer after one that came before the body', async ({ start }) => {
    const gateway = await start({ timeouts })

    const answers = readAnswers(await gateway.raw(json('{"message":"Hello"}').replace(canaries.key, 'x'.repeat(40)).slice(0, -5)))

    expect(answers.map(({ status }) => status)).toEqual([401])
  })

  test.for([
    ['half of a body', json('{"message":"Hello"}').replace(canaries.key, 'x'.repeat(40)).slice(0, -5), 401],
    ['an unknown transfer coding', post('Transfer-Encoding: gzip\r\n', 'x'), 400],
  ] as const)('gets one answer to %s on a connection that it keeps', async ([, bytes, expected], { start }) => {
    const gateway = await start({ timeouts })

    const answers = readAnswers(await gateway.raw(bytes.replace('Connection: close\r\n', '')))

    expect(answers.map(({ status }) => status)).toEqual([expected])
  })

  test('may finish a body that was answered early, however long its connection is open', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { requestMs: 4_000, checkEveryMs: 10 } })
    const socket = gateway.open().setEncoding('utf8')
    let said = ''
    socket.on('data', chunk => {
      said += chunk
    })
    const kept = (bytes: string) => bytes.replace('Connection: close\r\n', '')
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now)
    onTestFinished(() => clock.mockRestore())
    socket.write(kept(wire('GET /me')))
    await expect.poll(() => readAnswers(said)).toHaveLength(1)
    clock.mockReturnValue(now + 10_000)
    const body = kept(json('{"message":"Hello"}').replace(canaries.key, 'x'.repeat(40)))
    socket.write(body.slice(0, -5))
    await expect.poll(() => readAnswers(said)).toHaveLength(2)
    sandbox.latencyMs = 100 // time for a few checks
    await gateway.get('/channels')
    socket.write(body.slice(-5) + wire('GET /me'))
    await once(socket, 'close')

    expect(readAnswers(said).map(({ status }) => status)).toEqual([200, 401, 200])
  })

  test('to send the whole body of a GET still gets its unread messages', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { requestMs: 50, checkEveryMs: 10 } })
    sandbox.answer({ method: 'getunreadmessages', delayMs: 300 })
    const answers = readAnswers(await gateway.raw(wire(`GET ${chat}/unread`, 'Content-Length: 5\r\n', 'ab')))

    expect(answers).toMatchObject([{ status: 200, json: { items: expect.any(Array) } }])
  })
})

describe('What a server may ignore', () => {
  test.for([
    ['an upgrade to HTTP/2', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'],
    ['an upgrade to WebSocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n'],
    ['a transfer coding that is accepted', 'TE: trailers\r\n'],
  ] as const)('%s is not followed: the request and the next one are answered', async ([, headers], { gateway }) => {
    const socket = gateway.open()
    const pieces: string[] = []
    socket.setEncoding('utf8').on('data', piece => pieces.push(String(piece)))

    socket.write(wire('GET /me', headers).replace('Connection: close\r\n', ''))
    await once(socket, 'data')
    socket.write(wire('GET /health/live')) // Node loses bytes that come in one packet with an upgrade
    await once(socket, 'close')

    expect(readAnswers(pieces.join('')).map(({ status }) => status)).toEqual([200, 200])
  })

  test.for(['http://elsewhere/me', 'https://user@elsewhere:9/me'])('the host of the target %s is ignored', async (target, { gateway }) => {
    const answers = readAnswers(await gateway.raw(wire(`GET ${target}`)))

    expect(answers).toMatchObject([{ status: 200, json: { caller: 'default' } }])
  })
})

describe('A request before a tunnel', () => {
  test('gets its own answer first', async ({ gateway, sandbox }) => {
    sandbox.latencyMs = 100
    const first = wire('GET /channels').replace('Connection: close\r\n', '')

    const answers = readAnswers(await gateway.raw(first + wire('CONNECT host:443')))

    expect(answers.map(({ status }) => status)).toEqual([200, 405])
    expect(answers[0]?.json.items).toHaveLength(4)
    expect(answers[1]).toMatchObject(problem(405, 'method-not-allowed'))
  })
})

describe('An address that sends bytes without a request', () => {
  test('gets 429 in the end, and does not fill the log', async ({ start }) => {
    const gateway = await start({ alone: true })
    const codes: string[] = []
    for (let i = 0; i < 19; i++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.raw('X\r\n\r\n')))
      for (const bytes of answers) codes.push(readAnswers(bytes)[0]?.json.code)
    }
    const valid = await gateway.get('/me')
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()

    expect(codes.filter(code => code === 'invalid-request')).toHaveLength(900)
    expect(codes.filter(code => code === 'rate-limited')).toHaveLength(50)
    expect(valid.status).toBe(200)
    const lines = gateway.log.filter(({ msg }) => msg === 'connection refused')
    const skipped = lines.reduce((sum, line) => sum + Number(line.skipped ?? 0), 0)
    expect(lines.length + skipped).toBeLessThanOrEqual(900)
    expect(lines.length).toBeLessThan(900)
    expect(metrics).toMatch(/^gateway_connections_refused_total\{code="invalid-request"\} 900$/m)
    expect(metrics).toMatch(/^gateway_connections_refused_total\{code="rate-limited"\} 50$/m)
  })
})

describe('Unreadable bytes after a request that is still open', () => {
  const call = (line: string) => `${line} HTTP/1.1\r\nHost: gateway\r\n${key}`

  test('are answered after it', async ({ gateway, sandbox }) => {
    sandbox.latencyMs = 100
    const body = '{"message":"Hello"}'

    const answers = readAnswers(
      await gateway.raw(
        `${call(`POST ${chat}/messages`)}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}${call('GET /me')}\r\n\0\r\n\r\n`,
      ),
    )

    expect(answers.map(({ status }) => status)).toEqual([201, 200, 400])
    expect(sandbox.sent).toHaveLength(1)
  })
})
