import { hash } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, vi } from 'vitest'
import { createLogger } from '../src/telemetry/log.ts'
import { listen } from './afilnet/listeners.ts'
import { canaries, test, transportEnvironment } from './gateway.ts'

/** Words that a caller or Afilnet says and that no log may repeat, at no level. */
const words = [
  'cn1path',
  'cn2query',
  'cn3message',
  'cn4idempotency',
  'cn5reference',
  'cn6upstream',
  'cn7header',
  'cn8file',
  'cn9member',
  '34699999999',
]

const chat = '/chats/telegram/cn1path/34699999999'
const headers = {
  'idempotency-key': 'cn4idempotency',
  'user-agent': 'cn7header',
  cookie: 'cn7header=1',
  referer: 'https://cn7header.example/',
  'x-forwarded-for': 'cn7header',
  'if-none-match': '"cn7header"',
}
const message = { message: 'cn3message', reference: 'cn5reference' }
const file = { type: 'image', fileUrl: 'https://cn8file.example/cn8file', message: 'cn3message' }

const eventually = (expectation: () => unknown) => vi.waitFor(expectation, { interval: 200, timeout: 40_000 })

const upstreamAnswers = [
  { body: '{"status":"ERROR","error":"cn6upstream is not a code"}' },
  { body: 'cn6upstream: not JSON' },
  { body: '["cn6upstream"]' },
  { status: 500, body: 'cn6upstream' },
  { status: 301, headers: { location: 'https://cn6upstream.example/' } },
  { status: 429, headers: { 'retry-after': 'cn6upstream' } },
  { status: 401, headers: { 'www-authenticate': 'Basic realm="cn6upstream"' } },
  { body: '{"status":"SUCCESS","result":{"list":[{"message":"cn6upstream","cn6upstream":1}]}}' },
  { fault: 'drop' },
  { fault: 'reset' },
  { fault: 'truncated' },
  { fault: 'two-lengths' },
  { fault: 'ssh' },
] as const

describe('The log', () => {
  test('repeats nothing that was said, at level trace', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { headersMs: 200, requestMs: 200, checkEveryMs: 25 } })

    for (const answer of upstreamAnswers) {
      sandbox.answer({ ...answer, times: 4 })
      await gateway.get(`${chat}/messages?q=cn2query`, headers)
      await gateway.get(`${chat}/unread?q=cn2query`, headers)
      await gateway.post(`${chat}/messages?q=cn2query`, message, headers)
      await gateway.post(`${chat}/files`, file, headers)
    }
    const chatOfToken = { platform: 'telegram', platformId: 'cn1path', destination: '34699999999' }
    const issued = await gateway.post('/tokens', { chat: chatOfToken, scopes: ['messages:read', 'messages:send'] }, headers)
    const { token } = issued.json
    for (const key of [token, `${token.slice(0, -9)}cn7header`]) await gateway.request(`${chat}/messages?q=cn2query`, { headers, key })
    await gateway.request('/tokens', {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{"actor":"cn3message\\u0000"}',
    })
    await gateway.get('/cn1path', headers)
    await gateway.get('/%zzcn1path', headers)
    await gateway.get('/docs/static/cn1path', headers)
    await gateway.get('/problems/cn1path', headers)
    await gateway.request(`${chat}/messages`, { method: 'DELETE', headers })
    await gateway.request(chat, { headers, key: 'cn7header-0123456789012' })
    await gateway.post(`${chat}/messages`, { ...message, cn9member: 1 }, headers)
    await gateway.post(`${chat}/files`, { ...file, fileUrl: 'http://cn8file@localhost/' }, headers)
    for (const bytes of [
      'GET /cn1path',
      'GET /cn1path HTTP/1.1\r\nX: cn7header\0\r\n\r\n',
      `POST ${chat}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"message":"cn3message`,
    ])
      await gateway.raw(bytes)

    const seenByOperator = await Promise.all(['/metrics', '/callers'].map(async path => (await fetch(`${gateway.adminUrl}${path}`)).text()))
    for (const word of [...words, ...Object.values(canaries), hash('sha256', canaries.key), 'demo@sandbox'])
      expect(seenByOperator.join('').includes(word), word).toBe(false)

    const log = JSON.stringify(gateway.log)
    expect(gateway.log.length).toBeGreaterThan(60)
    for (const word of words) expect(log.includes(word), word).toBe(false)
    expect(log).not.toMatch(/AFILNET_|\/api\/http|demo@sandbox/i)
    for (const part of token.split('.').slice(1)) expect(log).not.toContain(part)
  })

  test.for(['json', 'soap'] as const)('repeats nothing over the transport %s either', async (transport, { start, sandbox }) => {
    const gateway = await start({ env: { ...transportEnvironment(sandbox, transport), AFILNET_GRANT: 'password' } })
    const fault = '<E:Envelope xmlns:E="x"><E:Body><E:Fault><faultstring>cn6upstream</faultstring></E:Fault></E:Body></E:Envelope>'
    const token = { error: 'invalid_request', error_description: 'cn6upstream', error_uri: 'https://cn6upstream.example/' }

    for (const answer of [...upstreamAnswers, { status: 500, body: fault }, { body: fault }]) {
      for (const method of ['getmessages', 'sendmessage']) sandbox.answer({ ...answer, method, times: 4 })
      await gateway.get(`${chat}/messages`, headers)
      await gateway.post(`${chat}/messages`, message, headers)
    }
    sandbox.oauth.revoke()
    for (const body of [JSON.stringify(token), 'cn6upstream', `{"access_token":"cn6upstream\\n","token_type":"bearer"}`]) {
      sandbox.answer({ method: 'token', status: body === 'cn6upstream' ? 200 : 400, body, times: 4 })
      await gateway.get('/channels', headers)
    }

    const seen = await Promise.all(
      ['/metrics', '/callers', '/health/upstream'].map(async path => (await fetch(`${gateway.adminUrl}${path}`)).text()),
    )
    const log = JSON.stringify(gateway.log)
    for (const word of [...words, ...Object.values(canaries), 'demo@sandbox'])
      expect((log + seen.join('')).includes(word), word).toBe(false)
  })

  test('repeats neither a token for a conversation nor the URL of a file, as traces and metrics do not', async ({ start }) => {
    const spans: string[] = []
    const collector = createServer(async (request, response) => {
      spans.push(await text(request))
      response.end('{}')
    })
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await listen(collector)}`,
      QUEUE_KEY: Buffer.alloc(32, 7).toString('base64'),
    }
    const gateway = await start({ env })
    const scopes = ['messages:read', 'messages:send', 'files:send', 'media:write']
    const place = { platform: 'telegram', platformId: '7', destination: '34699999999' }
    const { token } = (await gateway.post('/tokens', { chat: place, scopes, actor: 'alice' })).json
    const form = () => ({
      type: 'multipart/form-data; boundary=b',
      body: `--b\r\ncontent-disposition: form-data; name="file"; filename="cn8file.txt"\r\n\r\ncn3message\r\n--b--\r\n`,
    })
    const upload = (path: string, key: string, more: object = {}) =>
      gateway.request(path, { method: 'POST', key, headers: { ...headers, 'content-type': form().type, ...more }, body: form().body })
    const stored = (await upload('/media', token)).json
    const files = '/chats/telegram/7/34699999999/files'
    const secret = new URL(stored.url).pathname.split('/')[2] ?? ''
    await upload(files, token)
    await upload(files, token, { 'idempotency-key': 'cn4idempotency-2', prefer: 'respond-async' })
    await upload('/chats/telegram/8/34699999999/files', token)
    await upload('/media', `${token}cn7header`)
    for (const path of [
      `/media/${secret}/cn8file.txt`,
      `/media/${secret}A/cn8file.txt`,
      `/media/${secret}`,
      `/media/${stored.id}`,
      `/media/${secret}/x/cn1path`,
    ])
      for (const key of [token, null])
        await gateway.request(`${path}?q=cn2query`, { key, headers: { ...headers, range: 'bytes=cn7header' } })
    const body = { type: 'document', fileUrl: stored.url, message: 'cn3message' }
    for (const fileUrl of [stored.url, `${stored.url}x/y`, stored.url.replace(secret, secret.slice(1))])
      await gateway.request(files, {
        method: 'POST',
        key: token,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, fileUrl }),
      })
    await gateway.request(`/media/${stored.id}`, { method: 'DELETE', key: token })
    const admin = await Promise.all(
      ['/metrics', '/callers', '/health/upstream'].map(async path => (await fetch(`${gateway.adminUrl}${path}`)).text()),
    )
    const log = JSON.stringify(gateway.log)
    await gateway.drain() // exports the last spans
    collector.close()

    expect(secret).toHaveLength(43)
    expect(spans.join('')).toContain('/media/:token/:name')
    const said = [log, ...admin, ...spans].join('\n')
    for (const word of [...words, ...token.split('.').slice(1), secret, '34699999999']) expect(said.includes(word), word).toBe(false)
  })

  test('repeats no word of a page or document either', async ({ gateway }) => {
    const replies = [
      await gateway.get('/problems/not-found?q=cn2query', { accept: 'text/html, cn7header', ...headers }),
      await gateway.get('/problems/cn1path', { accept: 'text/html', ...headers }),
      await gateway.get('/openapi.json?q=cn2query', headers),
      await gateway.get('/docs/?q=cn2query', headers),
      await gateway.get('/cn1path', headers),
    ]

    expect(replies.map(({ status }) => status)).toEqual([200, 404, 200, 302, 404])
    for (const { headers: answered, text } of replies) expect(JSON.stringify(answered) + text).not.toMatch(new RegExp(words.join('|')))
  })

  test('repeats nothing of queued sends, of webhooks, and of their secrets', async ({ start, sandbox }) => {
    const hook = `whsec_${Buffer.from('fake-canary-webhook-secret-00001').toString('base64')}`
    const queueKey = Buffer.from('fake-canary-queue-key-0123456789').toString('base64')
    const receiver = createServer((request, response) => {
      request.resume()
      response
        .writeHead(400, 'cn6upstream', { 'x-cn6upstream': 'cn6upstream', location: 'https://cn6upstream.example/' })
        .end('cn6upstream')
    })
    const spans: string[] = []
    const collector = createServer(async (request, response) => {
      spans.push(await text(request))
      response.end('{}')
    })
    const [receiverPort, collectorPort] = [await listen(receiver), await listen(collector)]
    const env = {
      QUEUE_KEY: queueKey,
      EVENTS_CHANNELS: '*',
      EVENTS_INTERVAL_MS: '1000',
      WEBHOOK_URL: `http://127.0.0.1:${receiverPort}/hook?token=cn2query`,
      WEBHOOK_SECRET: hook,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collectorPort}`,
    }
    const gateway = await start({ env })
    const waiting = { ...headers, prefer: 'respond-async' }
    const answers = []
    for (const [n, answer] of upstreamAnswers.entries()) {
      sandbox.answer({ ...answer, method: 'sendmessage', times: 1 })
      const queued = { ...waiting, 'idempotency-key': `cn4idempotency${n}` }
      answers.push(await gateway.post(`/chats/telegram/cn1path/3469999999${n % 10}/messages`, message, queued))
    }
    answers.push(await gateway.post(`${chat}/messages`, { ...message, sendAt: 'cn2query' }, waiting))
    answers.push(await gateway.post(`${chat}/messages`, { ...message, sendAt: new Date(Date.now() + 60_000).toISOString() }, {}))
    await eventually(async () => expect((await gateway.get('/sends?state=queued')).json.items.length).toBeLessThan(5))
    // The first look at a channel makes no events.
    await eventually(async () => {
      sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34699999999', message: 'cn3message' })
      expect((await gateway.get('/webhooks/default/deliveries')).json.items[0]?.attempts).toBeGreaterThan(0)
    })
    for (const path of ['/webhooks', '/webhooks/default/deliveries', '/webhooks/cn1path/deliveries']) answers.push(await gateway.get(path))
    answers.push(await gateway.post('/webhooks/default/test', {}), await gateway.post('/webhooks/default/redrive', { after: 'cn2query' }))
    receiver.close()
    receiver.closeAllConnections()
    answers.push(await gateway.post('/webhooks/default/test', {}))
    const admin = await Promise.all(
      ['/metrics', '/callers', '/health/upstream'].map(async path => (await fetch(`${gateway.adminUrl}${path}`)).text()),
    )
    await gateway.drain()

    expect(spans.join('')).toContain('/webhooks/:name')
    const secrets = [hook, hook.slice(6), queueKey, 'fake-canary-webhook-secret', 'fake-canary-queue-key'].flatMap(secret => [
      secret,
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
      hash('sha256', secret),
    ])
    const outside = JSON.stringify(gateway.log) + admin.join('') + spans.join('')
    for (const secret of secrets) expect((outside + JSON.stringify(answers)).includes(secret), secret).toBe(false)
    for (const word of words) expect(outside.includes(word), word).toBe(false)
    for (const word of ['cn2query', 'cn3message', 'cn6upstream']) expect(answers.map(({ text }) => text).join(''), word).not.toContain(word)
  })

  test('names an error by its kind and place, never in its own words', () => {
    const lines: string[] = []
    const log = createLogger('trace', { write: line => lines.push(line) })
    const error = Object.assign(new TypeError('cn6upstream'), { code: 'EWHY', cause: new Error('cn6upstream'), command: ['cn6upstream'] })

    log.error({ err: error, req: { url: '/cn1path' }, res: { statusCode: 500 } }, 'internal error')
    log.error({ err: 'cn6upstream' }, 'internal error')

    expect(lines.map(line => JSON.parse(line).err)).toMatchObject([{ type: 'TypeError', code: 'EWHY' }, { type: 'string' }])
    expect(lines.join('')).not.toMatch(/cn6upstream|cn1path/)
  })
})
