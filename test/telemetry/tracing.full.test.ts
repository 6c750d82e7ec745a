import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { hostname } from 'node:os'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { listen } from '../afilnet/listeners.ts'
import { canaries, environment, type TestGateway, test } from '../gateway.ts'
import { openStream } from '../live/streaming.ts'
import { startProgram } from '../program.ts'

process.env.OTEL_BSP_SCHEDULE_DELAY = '10' // OpenTelemetry's own variable; five seconds otherwise

const chat = '/chats/whatsapp/100/34600000000'
const pattern = '/chats/:platform/:platformId/:destination'
const parent = { trace: '0af7651916cd43dd8448eb211c80319c', span: 'b7ad6b7169203331' }
const traceparent = `00-${parent.trace}-${parent.span}-01`

type Attribute = { key: string; value: Record<string, unknown> }
type Ids = { traceId: string; spanId: string; parentSpanId?: string }
type Times = { startTimeUnixNano: string; endTimeUnixNano: string }
type Wire = { name: string; kind: number; status: object; attributes: Attribute[] } & Ids & Times
type Export = { resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { scope: object; spans: Wire[] }[] }[] }

const flat = (attributes: Attribute[]) => Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** A collector: keeps what it gets, and answers as the test says. */
async function startCollector(answer = (response: ServerResponse): unknown => response.end('{}')) {
  const collector = {
    port: 0,
    answer,
    requests: [] as { url: string | undefined; headers: IncomingHttpHeaders; body: string }[],
    get resources() {
      return this.requests.flatMap(({ body }) => (JSON.parse(body) as Export).resourceSpans)
    },
    get spans() {
      const spans = this.resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
      return spans.map(span => ({ ...span, attributes: flat(span.attributes) }))
    },
    get env() {
      return { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.port}` }
    },
    /** The span of that name, once it is there. */
    span: (name: string) => vi.waitUntil(() => collector.spans.find(span => span.name === name), { timeout: 120_000, interval: 10 }),
  }
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    collector.requests.push({ url: request.url, headers: request.headers, body })
    collector.answer(response)
  })
  collector.port = await listen(server)
  return collector
}

const SERVER = 2
const CLIENT = 3
const [unset, error] = [{ code: 0 }, { code: 2 }]
const byUs = { 'gateway.caller': 'default', 'gateway.account': 'default' }
const message = { message: 'Hello' }

describe('A request', () => {
  test.for<[string, (gateway: TestGateway) => Promise<unknown>, string, object, object, object | undefined]>([
    [
      'a read',
      gateway => gateway.get(`${chat}/messages`),
      `GET ${pattern}/messages`,
      { 'http.request.method': 'GET', 'http.route': `${pattern}/messages`, 'http.response.status_code': 200, ...byUs },
      unset,
      { name: 'getmessages', status: unset, attributes: { 'gateway.operation': 'getmessages', ...byUs } },
    ],
    [
      'a send',
      gateway => gateway.post(`${chat}/messages`, message),
      `POST ${pattern}/messages`,
      { 'http.request.method': 'POST', 'http.route': `${pattern}/messages`, 'http.response.status_code': 201, ...byUs },
      unset,
      { name: 'sendmessage', status: unset, attributes: { 'gateway.operation': 'sendmessage', ...byUs } },
    ],
    [
      'a send with an unknown end',
      gateway => gateway.post('/chats/whatsapp/100/silent/messages', message),
      `POST ${pattern}/messages`,
      {
        'http.request.method': 'POST',
        'http.route': `${pattern}/messages`,
        'http.response.status_code': 504,
        'error.type': 'upstream-timeout',
        ...byUs,
      },
      error,
      {
        name: 'sendmessage',
        status: error,
        attributes: { 'gateway.operation': 'sendmessage', 'error.type': 'upstream-timeout', 'gateway.outcome': 'unknown', ...byUs },
      },
    ],
    [
      'a refusal of Afilnet',
      gateway => gateway.get('/chats/whatsapp/CHANNEL_NOT_FOUND'),
      'GET /chats/:platform/:platformId',
      {
        'http.request.method': 'GET',
        'http.route': '/chats/:platform/:platformId',
        'http.response.status_code': 404,
        'error.type': 'channel-not-found',
        ...byUs,
      },
      unset,
      {
        name: 'getchats',
        status: error,
        attributes: {
          'gateway.operation': 'getchats',
          'error.type': 'channel-not-found',
          'gateway.upstream_code': 'CHANNEL_NOT_FOUND',
          'gateway.outcome': 'not_applied',
          ...byUs,
        },
      },
    ],
    [
      'no key',
      gateway => gateway.request('/channels', { key: null }),
      'GET /channels',
      { 'http.request.method': 'GET', 'http.route': '/channels', 'http.response.status_code': 401, 'error.type': 'unauthenticated' },
      unset,
      undefined,
    ],
    [
      'a body that is none',
      gateway => gateway.post(`${chat}/messages`, {}),
      `POST ${pattern}/messages`,
      {
        'http.request.method': 'POST',
        'http.route': `${pattern}/messages`,
        'http.response.status_code': 400,
        'error.type': 'invalid-request',
        ...byUs,
      },
      unset,
      undefined,
    ],
    [
      'an unknown path',
      gateway => gateway.get('/nothing'),
      'GET',
      { 'http.request.method': 'GET', 'http.response.status_code': 404, 'error.type': 'not-found' },
      unset,
      undefined,
    ],
    [
      'a wrong method',
      gateway => gateway.request('/channels', { method: 'DELETE' }),
      'DELETE',
      { 'http.request.method': 'DELETE', 'http.response.status_code': 405, 'error.type': 'method-not-allowed' },
      unset,
      undefined,
    ],
  ])(
    '(%s) is one span with what is known of it, and each call behind it another',
    async ([, ask, name, attributes, status, call], { start }) => {
      const collector = await startCollector()
      const gateway = await start({ env: { ...collector.env, AFILNET_TIMEOUT_MS: '500', AFILNET_LATE_MS: '0' } })

      await ask(gateway)

      const { traceId, spanId, ...request } = await collector.span(name)
      expect(request).toMatchObject({ kind: SERVER, events: [], links: [] })
      expect(request).not.toHaveProperty('parentSpanId')
      expect({ attributes: request.attributes, status: request.status }).toEqual({ attributes, status })
      const others = collector.spans.filter(span => span.spanId !== spanId)
      expect(others).toMatchObject(call ? [{ kind: CLIENT, traceId, parentSpanId: spanId, events: [], links: [] }] : [])
      expect(others.map(({ name, status, attributes }) => ({ name, status, attributes }))).toEqual(call ? [call] : [])
      expect(await gateway.logged(({ msg }) => msg === 'request')).toMatchObject({ traceId })
    },
  )

  test('and its call name the caller and its account, and last as long as Afilnet takes', async ({ start, sandbox }) => {
    const collector = await startCollector()
    const key = 'fake-key-of-a-crm-0123456789'
    const gateway = await start({ env: collector.env, callers: { crm: { key } } })
    sandbox.answer({ delayMs: 50 })

    await gateway.request('/channels', { key })

    for (const name of ['GET /channels', 'getchatchannels']) {
      const { attributes, startTimeUnixNano, endTimeUnixNano } = await collector.span(name)
      expect(attributes).toMatchObject({ 'gateway.caller': 'crm', 'gateway.account': 'default' })
      expect(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)).toBeGreaterThan(45_000_000n)
    }
  })

  test('that its caller leaves has a call that failed', async ({ start, sandbox }) => {
    const collector = await startCollector()
    const gateway = await start({ env: collector.env })
    sandbox.answer({ fault: 'silent' })
    const caller = gateway.open()
    caller.write(`GET /channels HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`)
    await sandbox.called(1)

    caller.destroy()

    const { status, attributes } = await collector.span('getchatchannels')
    expect({ status, type: attributes['error.type'] }).toEqual({ status: error, type: '_OTHER' })
  })

  test('has a span for each attempt', async ({ start, sandbox }) => {
    const collector = await startCollector()
    const gateway = await start({ env: collector.env })
    sandbox.answer({ fault: 'drop' })

    expect((await gateway.get('/channels')).status).toBe(200)

    const { traceId, spanId } = await collector.span('GET /channels')
    const attempts = collector.spans.filter(({ kind }) => kind === CLIENT)
    expect(attempts).toMatchObject([
      { name: 'getchatchannels', traceId, parentSpanId: spanId, status: error, attributes: { 'error.type': 'upstream-connection-lost' } },
      { name: 'getchatchannels', traceId, parentSpanId: spanId, status: unset },
    ])
  })

  test('that waited on its connection for another one has the span of its call', async ({ start }) => {
    const collector = await startCollector()
    const gateway = await start({ env: collector.env })
    const ask = (line: string, headers = '', body = '') =>
      `${line} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n${headers}\r\n${body}`
    const body = JSON.stringify(message)
    const framed = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n`
    await gateway.raw(ask(`GET ${chat}/messages`) + ask(`POST ${chat}/messages`, framed, body))

    const { traceId, spanId } = await collector.span(`POST ${pattern}/messages`)
    expect(await collector.span('sendmessage')).toMatchObject({ traceId, parentSpanId: spanId })
  })

  test('of an agent contains the span of its tool call, and ignores the trace of its caller', async ({ start }) => {
    const collector = await startCollector()
    const gateway = await start({ env: { ...collector.env, MCP: 'true' } })

    const headers = { accept: 'application/json, text/event-stream', traceparent }
    await gateway.post('/mcp', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_channels' } }, headers)

    const message = await collector.span('POST /mcp')
    const route = await collector.span('GET /channels')
    expect(message).not.toHaveProperty('parentSpanId')
    expect(route).toMatchObject({ traceId: message.traceId, parentSpanId: message.spanId })
    expect(await collector.span('getchatchannels')).toMatchObject({ traceId: message.traceId, parentSpanId: route.spanId })
  })

  test('for a stream has a span when the stream ends', async ({ start }) => {
    const collector = await startCollector()
    const gateway = await start({ env: { ...collector.env, EVENTS_CHANNELS: '*' } })
    const { socket, blocks } = openStream(gateway)
    onTestFinished(() => void socket.destroy())
    await expect.poll(() => blocks().length).toBeGreaterThan(0)

    socket.destroy()

    const { status, attributes, traceId } = await collector.span('GET /events')
    expect(status).toEqual(unset)
    expect(attributes).toEqual({ 'http.request.method': 'GET', 'http.route': '/events', 'http.response.status_code': 200, ...byUs })
    expect(await gateway.logged(({ route }) => route === '/events')).toMatchObject({ traceId })
  })

  test('says nothing that was said, of the caller, of Afilnet or of this machine', async ({ start, sandbox }) => {
    vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'cn9environment=cn9environment').stubEnv('OTEL_FASTIFY_IGNORE_PATHS', '/me')
    onTestFinished(() => void vi.unstubAllEnvs())
    const collector = await startCollector()
    const gateway = await start({ env: collector.env, timeouts: { requestMs: 200, headersMs: 200, checkEveryMs: 25 } })
    const headers = {
      'idempotency-key': 'cn4idempotency',
      'user-agent': 'cn7header',
      'x-request-id': 'cn7header-0123',
      'x-forwarded-for': '192.0.2.77',
      traceparent,
      tracestate: 'cn7header=1',
      baggage: 'cn7header=1',
    }
    const path = '/chats/telegram/cn1path/34699999999'

    for (const answer of [
      {},
      { body: '{"status":"ERROR","error":"cn6upstream is not a code"}' },
      { body: 'cn6upstream: not JSON' },
      { status: 301, headers: { location: 'https://cn6upstream.example/' } },
      { fault: 'reset' },
    ] as const) {
      sandbox.answer({ ...answer, times: 4 })
      await gateway.get(`${path}/messages`, headers)
      await gateway.get(`${path}/unread`, headers)
      await gateway.post(`${path}/messages`, { message: 'cn3message', reference: 'cn5reference' }, headers)
      await gateway.post(`${path}/files`, { type: 'image', fileUrl: 'https://cn8file.example/' }, headers)
    }
    await gateway.get(`${path}/messages?q=cn2query`, headers)
    await gateway.get('/cn1path?q=cn2query', headers)
    await gateway.get('/%zzcn1path', headers)
    await gateway.get('/problems/cn1path', headers)
    await gateway.get('/docs/static/cn1path', headers)
    await gateway.request(path, { headers, key: 'cn7header-0123456789012' })
    await gateway.post(`${path}/messages`, { message: 'x', cn3message: 1 }, headers)
    await gateway.raw(
      `POST ${path}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"message":"cn3message`,
    )
    await gateway.get('/me')
    await collector.span('GET /me')

    const [{ resource, ...resourceSpans } = { resource: { attributes: [] } }] = collector.resources
    expect(flat(resource.attributes)).toEqual({
      'service.name': 'afilnet-gateway',
      'service.version': JSON.parse(readFileSync('package.json', 'utf8')).version,
    })
    expect(collector.spans.length).toBeGreaterThan(30)
    expect([...new Set(collector.spans.flatMap(({ attributes }) => Object.keys(attributes)))].sort()).toEqual([
      'error.type',
      'gateway.account',
      'gateway.caller',
      'gateway.operation',
      'gateway.outcome',
      'gateway.upstream_code',
      'http.request.method',
      'http.response.status_code',
      'http.route',
    ])
    expect(collector.spans.filter(({ kind }) => kind !== SERVER && kind !== CLIENT)).toEqual([])
    expect(JSON.stringify(resourceSpans)).not.toContain('"message"')
    const arrived = JSON.stringify(collector.requests)
    expect(arrived).not.toMatch(/cn\d|34699999999|192\.0\.2\.77|demo@sandbox|api\/http|telegram/)
    for (const secret of [...Object.values(canaries), hostname(), process.execPath, parent.trace])
      expect(arrived.includes(secret), secret).toBe(false)
    expect(arrived).not.toMatch(new RegExp(`\\b${process.pid}\\b`)) // a short one occurs in the middle of ids and times
  })
})

describe('The trace of a caller', () => {
  const said = { traceparent, tracestate: 'vendor=1', baggage: 'who=me' }

  test('goes on where the caller is trusted, and stops before Afilnet', async ({ start, sandbox }) => {
    const collector = await startCollector()
    const gateway = await start({ env: { ...collector.env, TRUST_PROXY: '192.0.2.0/24,127.0.0.0/8' } })

    await gateway.get('/channels', said)

    const request = await collector.span('GET /channels')
    expect(request).toMatchObject({ traceId: parent.trace, parentSpanId: parent.span })
    expect(await collector.span('getchatchannels')).toMatchObject({ traceId: parent.trace, parentSpanId: request.spanId })
    expect(await gateway.logged(({ msg }) => msg === 'request')).toMatchObject({ traceId: parent.trace })
    expect(sandbox.calls).toHaveLength(1)
    expect(JSON.stringify(sandbox.calls)).not.toMatch(/traceparent|tracestate|baggage|vendor=1/i)
    expect(JSON.stringify(collector.requests)).not.toMatch(/who=me|vendor=1/)
  })

  test.for([
    ['no address is trusted', {}],
    ['others are trusted, whatever a header says', { TRUST_PROXY: '192.0.2.0/24' }],
  ] as const)('counts for nothing where %s', async ([, env], { start }) => {
    const collector = await startCollector()
    const gateway = await start({ env: { ...collector.env, ...env } })

    // Neither may it keep itself out of the traces.
    await gateway.get('/channels', { ...said, traceparent: traceparent.replace(/01$/, '00'), 'x-forwarded-for': '192.0.2.1' })

    const request = await collector.span('GET /channels')
    expect(request.traceId).not.toBe(parent.trace)
    expect(request).not.toHaveProperty('parentSpanId')
    expect(request).not.toHaveProperty('traceState')
  })
})

describe('The collector', () => {
  test('gets its headers, those of a reload included', async ({ start, sandbox }) => {
    const collector = await startCollector()
    const env = (key: string) => ({
      ...collector.env,
      OTEL_EXPORTER_OTLP_HEADERS: `api-key=${key},X-Scope=a%3Db%20c`,
      OTEL_SERVICE_NAME: 'chat',
    })
    const gateway = await start({ env: env('fake-first') })
    await gateway.get('/me')
    await collector.span('GET /me')

    gateway.reload(readConfig({ ...environment(sandbox), ...env('fake-second') }))
    await gateway.get('/channels')
    await collector.span('GET /channels')

    const json = { 'content-type': 'application/json', 'x-scope': 'a=b c' }
    expect(collector.requests[0]).toMatchObject({ url: '/v1/traces', headers: { ...json, 'api-key': 'fake-first' } })
    expect(collector.requests.at(-1)).toMatchObject({ headers: { ...json, 'api-key': 'fake-second' } })
    expect(flat(collector.resources[0]?.resource.attributes ?? [])).toMatchObject({ 'service.name': 'chat' })
    expect(JSON.stringify(gateway.log)).not.toMatch(/fake-(first|second)/)
  })

  test('that rejects spans is reported once, and once when it accepts them again', async ({ start }) => {
    const collector = await startCollector(response => response.writeHead(400).end('cn6collector'))
    const gateway = await start({ env: collector.env })

    for (let refused = 0; refused < 3; refused++) {
      expect((await gateway.get('/me')).status).toBe(200)
      await vi.waitUntil(() => collector.requests.length > refused, { timeout: 40_000 })
    }
    collector.answer = response => response.end('{}')
    await gateway.get('/me')
    const again = await gateway.logged(({ msg }) => msg === 'trace collector accepts spans again')

    const lines = gateway.log.filter(({ msg }) => /collector/.test(String(msg)))
    expect(lines).toMatchObject([{ level: 40, code: 400, msg: 'trace collector rejects spans' }, again])
    expect(JSON.stringify(gateway.log)).not.toMatch(/cn6collector|v1\/traces/)
  })

  test('that redirects is not followed', async ({ start }) => {
    const other = await startCollector()
    const collector = await startCollector(response =>
      response.writeHead(307, { location: `${other.env.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces` }).end(),
    )
    const gateway = await start({ env: { ...collector.env, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=fake-key' } })

    await gateway.get('/me')

    expect(await gateway.logged(({ msg }) => msg === 'trace collector rejects spans')).toMatchObject({ code: 307 })
    expect(other.requests).toEqual([])
  })

  test('that is not there delays no request', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
      OTEL_EXPORTER_OTLP_TIMEOUT: '100',
      OTEL_BSP_SCHEDULE_DELAY: '10',
    })

    for (let i = 0; i < 20; i++) expect((await gateway.get('/me')).status).toBe(200)
    await gateway.logged('trace collector rejects spans')
    gateway.kill('SIGTERM')

    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.filter(({ msg }) => /collector/.test(String(msg)))).toMatchObject([{ level: 40, code: 'ECONNREFUSED' }])
  })

  test('that never answers does not hold up the end', async ({ sandbox }) => {
    const collector = await startCollector(() => {})
    const gateway = await startProgram(sandbox, { ...collector.env, OTEL_BSP_SCHEDULE_DELAY: '10', OTEL_EXPORTER_OTLP_TIMEOUT: '3600000' })
    await gateway.get('/me')
    await collector.span('GET /me')

    gateway.kill('SIGTERM')

    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.at(-1)).toMatchObject({ msg: 'drained' })
  })

  test('gets the last spans before the end', async ({ sandbox }) => {
    const collector = await startCollector()
    const gateway = await startProgram(sandbox, { ...collector.env, OTEL_BSP_SCHEDULE_DELAY: '3600000' })
    await gateway.get('/me')
    expect(collector.requests).toEqual([])

    gateway.kill('SIGTERM')
    await gateway.exited

    expect(collector.spans).toMatchObject([{ name: 'GET /me' }])
  })
})

describe('Sampling', () => {
  test.for([
    ['always_off', undefined, []],
    ['traceidratio', '0', []],
    ['parentbased_traceidratio', '0', [{ traceId: parent.trace }]],
    ['parentbased_always_off', undefined, [{ traceId: parent.trace }]],
    ['always_on', undefined, [{}, { traceId: parent.trace }]],
  ] as const)('by %s (%s) is what decides', async ([sampler, ratio, expected], { sandbox }) => {
    const collector = await startCollector()
    const gateway = await startProgram(sandbox, {
      ...collector.env,
      OTEL_TRACES_SAMPLER: sampler,
      OTEL_TRACES_SAMPLER_ARG: ratio,
      TRUST_PROXY: '127.0.0.1',
    })

    await gateway.get('/me')
    await fetch(`${gateway.url}/health/live`, { headers: { traceparent } })
    gateway.kill('SIGTERM')
    await gateway.exited

    expect(collector.spans).toMatchObject(expected)
  })
})

describe('OpenTelemetry', () => {
  // prom-client has the bare interfaces, which do nothing by themselves.
  const modules = /\/src\/tracing\.ts$|@opentelemetry\/(?!api\/)|@fastify\/otel|in-the-middle/

  /** The modules that the program loads until it has answered a request. */
  async function loadedBy(sandbox: { url: string; user: string }, env: Record<string, string>) {
    const listener = createServer().on('request', (request, response) => {
      urls.push(decodeURIComponent(String(request.url)))
      response.end()
    })
    const urls: string[] = []
    const port = await listen(listener)
    const spy = `import { registerHooks } from 'node:module'
      const urls = []
      registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
      process.on('SIGUSR2', async () => {
        for (const url of urls) if (/node_modules|src/.test(url)) await fetch('http://127.0.0.1:${port}/' + encodeURIComponent(url))
        process.kill(process.pid, 'SIGTERM')
      })`
    const gateway = await startProgram(sandbox, { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` })
    await gateway.get('/channels')
    gateway.kill('SIGUSR2')
    await gateway.exited
    return urls
  }

  test('is not loaded unless a collector is named', async ({ sandbox }) => {
    const without = await loadedBy(sandbox, { OTEL_SERVICE_NAME: 'chat' })
    const collector = await startCollector()
    const withIt = await loadedBy(sandbox, collector.env)

    expect(without.length).toBeGreaterThan(100)
    expect(without.filter(url => modules.test(url))).toEqual([])
    expect(withIt.filter(url => modules.test(url)).length).toBeGreaterThan(20)
  })
})
