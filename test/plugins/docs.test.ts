import { randomBytes } from 'node:crypto'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { describe, expect, test as plain, vi } from 'vitest'
import { generate } from '../../src/cli/openapi.ts'
import { exampleOf } from '../../src/plugins/openapi-examples.ts'
import { catalogue, type ProblemCode } from '../../src/problem/catalogue.ts'
import { magicCodes, magicWords } from '../../src/sandbox/magic.ts'
import { hold, type Reply, sharedTest as test } from '../gateway.ts'
import { postForm, samples } from '../media/forms.ts'
import { secret } from '../webhooks/receiver.ts'

type Media = { schema: object; example?: unknown; examples?: Record<string, { value: unknown }> }
type Response = { description: string; content: Record<string, Media> }
type Operation = {
  operationId: string
  tags: string[]
  summary: string
  description: string
  security?: unknown[]
  parameters?: { name: string; in: string; schema: object; example?: unknown; description?: string }[]
  requestBody?: { required: boolean; content: Record<string, Media> }
  responses: Record<string, Response>
}

const text = await generate()
const kept = JSON.parse(text)

/** The document with what its responses and examples refer to in their place. */
function dereferenced(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(dereferenced)
  if (typeof part !== 'object' || part === null) return part
  const [, kind, name] =
    /^#\/components\/(responses|examples|headers|parameters)\/(.+)$/.exec(String((part as { $ref?: string }).$ref)) ?? []
  if (kind && name) return dereferenced(kept.components[kind][name])
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, dereferenced(value)]))
}
const document = dereferenced(kept) as typeof kept // which is any JSON
const operations = Object.entries<Record<string, Operation>>(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
)
const keyed = operations.filter(([, { security }]) => security === undefined)

const ajv = new Ajv2020({ strict: false })
formats.default(ajv)
ajv.addSchema(document, 'document')
const pointer = (...parts: string[]) => parts.map(part => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')

/** What is wrong with a value, by the schema at a place of the document. */
const wrong = (value: unknown, ...place: string[]) => {
  const validate = ajv.getSchema(`document#/${pointer(...place)}`)
  if (!validate) throw new Error(`no schema at ${place.join(' ')}`)
  return validate(value) ? undefined : validate.errors
}

/** The codes that a response lists. */
const codesIn = (description: string) => [...description.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code as ProblemCode) // a test holds them to the catalogue

const examplesOf = ({ example, examples = {} }: Media) => [
  ...(example === undefined ? [] : [example]),
  ...Object.values(examples).map(e => e.value),
]

describe('The OpenAPI document', () => {
  plain('has the operations of the contract', () => {
    expect(operations.map(([name]) => name).sort()).toEqual([
      'DELETE /media/{id}',
      'DELETE /sends/{id}',
      'GET /',
      'GET /channels',
      'GET /chats/{platform}/{platformId}',
      'GET /chats/{platform}/{platformId}/{destination}/messages',
      'GET /chats/{platform}/{platformId}/{destination}/unread',
      'GET /events',
      'GET /health/live',
      'GET /health/ready',
      'GET /me',
      'GET /media/{id}',
      'GET /problems',
      'GET /problems/{code}',
      'GET /sends',
      'GET /sends/{id}',
      'GET /webhooks',
      'GET /webhooks/{name}/deliveries',
      'POST /chats/{platform}/{platformId}/{destination}/files',
      'POST /chats/{platform}/{platformId}/{destination}/messages',
      'POST /media',
      'POST /sends/{id}/settle',
      'POST /tokens',
      'POST /webhooks/{name}/redrive',
      'POST /webhooks/{name}/test',
    ])
  })

  const tags = document.tags.map((tag: { name: string }) => tag.name)

  plain('has an operation for each of its sections', () => {
    expect(new Set(operations.flatMap(([, operation]) => operation.tags))).toEqual(new Set(tags))
  })

  plain.for(operations)('%s says what it is', ([name, operation]) => {
    const open = /health|problems|\/$/.test(name)

    expect(operation.operationId).toMatch(/^[a-z]+([A-Z][a-z]+)*$/)
    expect(operation.summary.length).toBeGreaterThan(10)
    expect(operation.tags.every(tag => tags.includes(tag))).toBe(true)
    expect(operation.tags).toHaveLength(1)
    expect(operation.security).toEqual(open ? [] : undefined) // the document says what is usual
    for (const parameter of operation.parameters ?? []) {
      expect(parameter.description).toEqual(expect.any(String))
      // Swagger UI fills an example in: a help where a value must be given, a trap where none need be.
      expect(parameter.example !== undefined, parameter.name).toBe(parameter.in === 'path')
    }
  })

  plain('has no two operations of one name', () => {
    const ids = operations.map(([, { operationId }]) => operationId)

    expect(new Set(ids).size).toBe(ids.length)
  })

  plain.for(operations)('%s has examples that fit their own schemas', ([name, operation]) => {
    const [method = '', path = ''] = name.split(' ')
    const place = ['paths', path, method.toLowerCase()]
    const bodies = Object.entries(operation.requestBody?.content ?? {}).map(
      ([type, media]) => [['requestBody', 'content', type], media] as const,
    )
    const answers = Object.entries(operation.responses).flatMap(([status, { content }]) =>
      Object.entries(content ?? {}).map(([type, media]) => [['responses', status, 'content', type], media] as const),
    )

    expect(bodies.length > 0).toBe(method === 'POST' && !name.endsWith('/test'))
    for (const [at, media] of [...bodies, ...answers]) {
      const examples = examplesOf(media)
      if (at[0] === 'requestBody' || /^2/.test(at[1])) expect(examples, at.join(' ')).not.toEqual([])
      for (const example of examples) expect(wrong(example, ...place, ...at, 'schema'), at.join(' ')).toBeUndefined()
    }
    for (const [index, parameter] of (operation.parameters ?? []).entries())
      if (parameter.in === 'path') expect(wrong(parameter.example, ...place, 'parameters', String(index), 'schema')).toBeUndefined()
  })

  plain.for(operations)('%s lists each error under its own status', ([name, { responses }]) => {
    for (const [status, { description, content }] of Object.entries(responses).filter(([status]) => Number(status) >= 400)) {
      if (name === 'GET /health/ready' && status === '503') continue // the answer of a process that is leaving is no error
      const listed = codesIn(description)
      const [example] = examplesOf(content['application/problem+json'] as Media)
      const { code } = (example ?? { code: listed[0] }) as { code?: ProblemCode }

      for (const code of listed)
        expect(code === 'media-not-found' && name.startsWith('POST') ? 422 : catalogue[code].status, code).toBe(Number(status))
      expect(listed).toContain(code)
      if (example) expect(example).toMatchObject({ code, status: Number(status), type: `/problems/${code}` })
    }
  })

  const always = ['400', '429', '503']
  const upstream = [...always, '401', '403', '413', '502', '504']
  const send = [...upstream, '404', '409', '415', '422']
  plain.for([
    ['GET /channels', ['200', '304', ...upstream]],
    ['GET /chats/{platform}/{platformId}', ['200', '304', ...upstream, '404']],
    ['GET /chats/{platform}/{platformId}/{destination}/messages', ['200', '304', ...upstream, '404', '410']],
    ['GET /chats/{platform}/{platformId}/{destination}/unread', ['200', ...upstream, '404']],
    ['POST /chats/{platform}/{platformId}/{destination}/messages', ['200', '201', '202', '501', ...send]],
    ['POST /chats/{platform}/{platformId}/{destination}/files', ['200', '201', '202', '501', '507', ...send]],
    ['GET /sends', ['200', ...always, '401']],
    ['GET /sends/{id}', ['200', ...always, '401', '404']],
    ['GET /events', ['200', ...upstream, '501']],
    ['GET /me', ['200', ...always, '401']],
    ['GET /problems/{code}', ['200', ...always, '404']],
  ] as const)('%s has all its statuses', ([name, statuses]) => {
    const operation = operations.find(([other]) => other === name)?.[1]

    expect(Object.keys(operation?.responses ?? {}).sort()).toEqual([...statuses, 'default'].sort())
  })

  plain('lists every code that there is', () => {
    expect(document.components.schemas.ProblemCode.examples).toEqual(Object.keys(catalogue))
  })

  plain.for([...magicCodes, ...magicWords.keys()])('names the magic destination %s of the sandbox', word => {
    expect(document.info.description).toContain(`\`${word}\``)
  })

  plain('is short, has an absolute server and patterns that every language reads alike', () => {
    const patterns = [...text.matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(([, pattern = '']) => JSON.parse(pattern) as string)

    expect(Buffer.byteLength(text)).toBeLessThan(90_000)
    expect(text).not.toMatch(/"enum":\[[^"]/) // of an enum of `true`, generated Java does not compile
    expect(URL.parse(kept.servers[0].url)?.protocol).toBe('https:')
    expect(patterns.length).toBeGreaterThan(3)
    for (const pattern of patterns) {
      expect(pattern).not.toMatch(/\\[pPukGwdsbB]|\(\?/) // what differs between ECMA-262, Python, Java, Go and .NET
      for (const flags of ['', 'u', 'v']) expect(() => new RegExp(pattern, flags)).not.toThrow()
    }
    expect(text).not.toContain('wellFormed')
  })

  plain('names every body, and closes none of its answers', () => {
    const { schemas } = kept.components

    expect(Object.keys(schemas).sort()).toEqual(
      [
        'Channel',
        'ChannelList',
        'Delivery',
        'DeliveryPage',
        'Event',
        'EventList',
        'GatewayLinks',
        'Liveness',
        'Me',
        'MediaFile',
        'Message',
        'MessageList',
        'NewFile',
        'NewFileForm',
        'NewMedia',
        'NewMessage',
        'NewToken',
        'Platform',
        'Problem',
        'ProblemCode',
        'ProblemExplanation',
        'ProblemList',
        'Readiness',
        'Redrive',
        'Send',
        'SendPage',
        'SendVerdict',
        'Token',
        'Webhook',
        'WebhookList',
        'WebhookTest',
      ].sort(),
    )
    const closed = Object.entries<{ additionalProperties?: boolean }>(schemas).filter(([, schema]) => schema.additionalProperties === false)
    expect(closed.map(([name]) => name).sort()).toEqual([
      'NewFile',
      'NewFileForm',
      'NewMedia',
      'NewMessage',
      'NewToken',
      'Redrive',
      'SendVerdict',
    ])
    for (const [name, property] of [
      ['Channel', 'platform'],
      ['Channel', 'platformId'],
      ['Send', 'kind'],
      ['Send', 'state'],
      ['Send', 'platform'],
    ] as const)
      expect(schemas[name].properties[property]).toEqual({
        type: 'string',
        description: expect.any(String),
        ...(property === 'platformId' && { examples: ['100'] }),
      })
    expect(schemas.Message.properties.timestamp).not.toHaveProperty('format') // beside `datetime`, generated Python would not load
  })

  plain.for(operations)(
    '%s has a table that links exactly the errors that it declares, and leads with the key where it sends',
    ([name, { description, responses, parameters = [] }]) => {
      const errors = Object.entries(responses).filter(([, { content }]) => content && 'application/problem+json' in content)
      const declared = errors.flatMap(([status, { description }]) => {
        const codes = status === 'default' ? undefined : codesIn(description)
        return codes ? [`|${status}|${codes.map(code => `[${code}](/problems/${code})`).join(', ')}|`] : []
      })

      expect(description.split('\n\n').at(-1)?.split('\n')).toEqual(['|status|errors|', '|-|-|', ...declared])
      for (const code of codesIn(responses.default?.description ?? '').filter(code => code in catalogue))
        expect(document.info.description).toContain(`[${code}](/problems/${code})`)
      const key = parameters.find(parameter => parameter.name === 'Idempotency-Key')
      expect(key !== undefined).toBe(name.startsWith('POST /chats'))
      if (key) expect(description).toContain('curl -H "Idempotency-Key: order-4711-shipped"')
      expect(parameters.some(parameter => parameter.name === 'If-None-Match')).toBe('304' in responses)
      expect(parameters.some(parameter => parameter.name === 'Accept')).toBe(Object.keys(responses['200']?.content ?? {}).length > 1)
    },
  )

  plain('has no word of the machine that made it', () => {
    expect(text).not.toMatch(/localhost|127\.0\.0\.1|\/work|not needed|def-0|undefined/)
  })

  plain('warns of the read that is not safe', () => {
    expect(operations.find(([name]) => name.endsWith('/unread'))?.[1]).toHaveProperty(
      'description',
      expect.stringContaining('Not a safe read'),
    )
  })

  test('is served as it is kept, to anyone', async ({ gateway }) => {
    const reply = await gateway.request('/openapi.json', { key: null })

    expect(reply).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-cache' },
    })
    expect(reply.json).toEqual(kept)
  })

  test('has the public URL as its server', async ({ start }) => {
    const gateway = await start({ env: { PUBLIC_URL: 'https://example.com/api/' } })

    const reply = await gateway.get('/openapi.json')

    expect(reply.json.servers).toEqual([{ url: 'https://example.com/api', description: 'This gateway' }])
    expect(reply.json.paths['/me'].get.description).toContain('[unauthenticated](/api/problems/unauthenticated)')
    expect(reply.json.components.responses.E401.content['application/problem+json'].example.type).toBe(
      'https://example.com/api/problems/unauthenticated',
    )
    expect(Buffer.byteLength(reply.text)).toBeLessThan(92_000)
    const page = await gateway.get('/docs/')
    expect(page.headers['content-security-policy']).toContain("connect-src 'self' https://example.com;")
  })

  test('can be switched off, with its page', async ({ start }) => {
    const gateway = await start({ env: { DOCS: 'false' } })

    const replies = await Promise.all(['/openapi.json', '/docs', '/docs/', '/docs/json'].map(path => gateway.get(path)))

    expect(replies.map(({ status }) => status)).toEqual([404, 404, 404, 404])
  })
})

/** The manual has these for sends only; the sandbox says them to a read as well. */
const ofSends = new Set(['INCORRECT_FILETYPE', 'INCORRECT_FILEURL', 'INCORRECT_THUMBURL', 'NO_ROUTE_AVAILABLE'])

describe('The docs page', () => {
  test.for([
    ['/docs?url=x', './docs'],
    ['/docs/?url=x', './'],
    ['/docs/?', './'],
    ['/docs/static/index.html', '../'],
    ['/docs/static/index.html?url=x', '../'],
    ['/docs/static/swagger-initializer.js?url=x', './swagger-initializer.js'],
  ] as const)('sends %s to %s, whatever path it is under', async ([path, location], { start }) => {
    const gateway = await start({ env: { PUBLIC_URL: 'https://example.com/chat-api' } })

    const reply = await gateway.request(path, { key: null })

    expect(reply).toMatchObject({ status: 302, headers: { location } })
  })

  test('names no place outside its own path', async ({ gateway }) => {
    for (const [path, prefix] of [
      ['/docs', './docs/static/'],
      ['/docs/', './static/'],
    ] as const) {
      const { text } = await gateway.request(path, { key: null })

      const places = [...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, place = '']) => place)
      expect(places.length).toBeGreaterThan(4)
      expect(places.filter(place => !place.startsWith(prefix))).toEqual([])
    }
  })

  test.for(['/docs/', '/docs/json', '/docs/static/index.css'])(
    'answers %s in full, and with 304 to a matching If-None-Match',
    async (path, { gateway }) => {
      const ask = (method: string, headers = {}) => gateway.request(path, { method, key: null, headers })
      const whole = await ask('GET')
      const { etag, 'content-type': type, 'content-length': length } = whole.headers

      expect(whole).toMatchObject({ status: 200, headers: { etag: expect.stringMatching(/^"[\w-]{43}"$/) } })
      expect(Buffer.byteLength(whole.text)).toBe(Number(length))
      expect(await ask('GET', { range: `bytes=${length}-` })).toMatchObject({ status: 200, text: whole.text })
      expect(await ask('HEAD')).toMatchObject({ status: 200, text: '', headers: { etag, 'content-type': type, 'content-length': length } })
      for (const method of ['GET', 'HEAD']) {
        const { status, text, headers } = await ask(method, { 'if-none-match': etag })
        expect({ status, text, headers }).toMatchObject({ status: 304, text: '', headers: { etag } })
        expect(headers).not.toHaveProperty('content-length')
      }
    },
  )

  test('leaves room for other answers while many callers do not read it', async ({ start }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '65536' } })
    const path = '/docs/static/swagger-ui-bundle.js'
    for (let i = 0; i < 64; i++) gateway.open().pause().write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)

    expect((await gateway.request('/openapi.json', { key: null })).status).toBe(200)
    expect((await gateway.request(path, { key: null })).status).toBe(200)
  })

  test('may load nothing from elsewhere', async ({ gateway }) => {
    const { headers } = await gateway.get('/docs/')

    expect(headers['content-security-policy']).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(headers['cross-origin-opener-policy']).toBe('same-origin')
  })
})

describe('The answers', () => {
  const chat = '/chats/whatsapp/100/34600000000'
  const path = '/chats/{platform}/{platformId}/{destination}'

  /** Closed, so that a member that the document does not have is found. */
  const closed = (schema: unknown): unknown => {
    if (Array.isArray(schema)) return schema.map(closed)
    if (typeof schema !== 'object' || schema === null) return schema
    const copy = Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, closed(part)]))
    return 'properties' in schema && !('additionalProperties' in schema) ? { ...copy, additionalProperties: false } : copy
  }
  const strict = new Ajv2020({ strict: false })
  formats.default(strict)
  strict.addSchema(closed(document) as object, 'document')

  const check = ({ status, headers, json, text }: Reply, route: string, method: string) => {
    const answer = document.paths[route][method.toLowerCase()].responses[status]
    const sent = Object.keys(kept.components.headers).filter(name => name.toLowerCase() in headers)
    expect(Object.keys(answer.headers ?? {})).toEqual(expect.arrayContaining(sent))
    if (text === '') return expect([answer.content, headers['content-type']]).toEqual([undefined, undefined])
    const [type = ''] = String(headers['content-type']).split(';')
    const at = pointer('paths', route, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema')
    const validate = strict.getSchema(`document#/${at}`)
    expect(validate, at).toBeTypeOf('function')
    validate?.(json)
    expect(validate?.errors, at).toBeNull()
  }

  test.for([
    ['GET', '/channels', '/channels', 200],
    ['GET', '/chats/whatsapp/100', '/chats/{platform}/{platformId}', 200],
    ['GET', `${chat}/messages`, `${path}/messages`, 200],
    ['GET', `${chat}/unread`, `${path}/unread`, 200],
    ['POST', `${chat}/messages`, `${path}/messages`, 201],
    ['POST', `${chat}/files`, `${path}/files`, 201],
    ['GET', '/me', '/me', 200],
    ['GET', '/health/live', '/health/live', 200],
    ['GET', '/health/ready', '/health/ready', 200],
    ['GET', '/', '/', 200],
    ['GET', '/problems', '/problems', 200],
    ['GET', '/problems/not-found', '/problems/{code}', 200],
    ['GET', '/problems/nothing', '/problems/{code}', 404],
    ...[...magicCodes].map(code => ['POST', `/chats/whatsapp/100/${code}/files`, `${path}/files`, 0] as const),
    ...[...magicCodes]
      .filter(code => !ofSends.has(code))
      .map(code => ['GET', `/chats/whatsapp/100/${code}/messages`, `${path}/messages`, 0] as const),
    ['GET', '/chats/whatsapp/100/html/unread', `${path}/unread`, 502],
    ['POST', '/chats/whatsapp/100/a%2Cb/messages', `${path}/messages`, 400],
  ] as const)('of %s %s are those of the document', async ([method, url, route, status], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEZONE: 'Europe/Madrid' } })
    sandbox.shape({ extra: { more: 1 } })
    const body = url.endsWith('files')
      ? { type: 'image', fileUrl: 'https://example.com/menu.jpg', reference: 'x' }
      : { message: 'Hello', reference: 'x' }

    const reply = method === 'GET' ? await gateway.get(url) : await gateway.post(url, body)

    if (status) expect(reply.status).toBe(status)
    check(reply, route, method)
  })

  test('of a wrong key and a wrong body are those of the document', async ({ gateway }) => {
    check(await gateway.request('/me', { key: 'wrong-key-0123456789012' }), '/me', 'GET')
    check(await gateway.post(`${chat}/messages`, { message: 5 }), `${path}/messages`, 'POST')
    check(await gateway.request(`${chat}/messages`, { method: 'POST', body: 'x' }), `${path}/messages`, 'POST')
  })

  test('of a send that still runs are those of the document', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const send = () => gateway.post(`${chat}/messages`, { message: 'Hello' }, { 'idempotency-key': 'k1' })
    const first = send()
    await sandbox.called(1)

    const during = await send()
    release()

    expect(during.status).toBe(409)
    check(during, `${path}/messages`, 'POST')
    check(await first, `${path}/messages`, 'POST')
  })

  test('of a queued send, a stored file and a redrive are those of the document', async ({ start }) => {
    const env = {
      QUEUE_KEY: randomBytes(32).toString('base64'),
      WEBHOOK_URL: 'http://127.0.0.1:9/',
      WEBHOOK_SECRET: secret,
      EVENTS_CHANNELS: '*',
    }
    const gateway = await start({ env })
    const queued = await gateway.post(`${chat}/messages`, { message: 'Hello' }, { prefer: 'respond-async' })
    const stored = await postForm(gateway, '/media', [['file', samples.png]])
    const deleted = await gateway.request(`/media/${stored.json.id}`, { method: 'DELETE' })
    const redriven = await gateway.post('/webhooks/default/redrive', { failed: true })

    expect([queued, stored, deleted, redriven].map(({ status }) => status)).toEqual([202, 201, 204, 202])
    check(queued, `${path}/messages`, 'POST')
    check({ ...stored, headers: Object.fromEntries(stored.headers), text: JSON.stringify(stored.json) }, '/media', 'POST')
    check(deleted, '/media/{id}', 'DELETE')
    check(redriven, '/webhooks/{name}/redrive', 'POST')
    expect(redriven.headers['cache-control']).toBe('no-store')
  })

  plain('need a key exactly where the document says so', () => {
    expect(keyed).toHaveLength(20)
  })
})

describe('An example of a problem', () => {
  const operation = (name: string) => operations.find(([other]) => other === name)?.[1] as Operation // a missing one fails the test
  const chats = '/chats/{platform}/{platformId}/{destination}'
  const members = ({ detail, instance, requestId, sendId, title, type, ...rest }: Record<string, unknown>) => ({
    ...rest,
    ...(rest.errors !== undefined && { errors: 'some' }),
    has: Object.entries({ detail, instance, requestId, sendId, title, type }).flatMap(([name, value]) =>
      value === undefined ? [] : [name],
    ),
  })

  test.for([
    ...[
      'CHANNEL_NOT_FOUND',
      'INCORRECT_FILETYPE',
      'INCORRECT_FILEURL',
      'INCORRECT_THUMBURL',
      'MISSING_USER',
      'NO_CREDITS',
      'NO_ROUTE_AVAILABLE',
    ],
    ...['INCORRECT_USER_PASSWORD', 'NOT_ACCESS_TO_TEMPLATE', 'html', 'drops', 'resets'],
  ])('is what the gateway sends for %s', async (destination, { gateway }) => {
    const sent = await gateway.post(
      `/chats/whatsapp/100/${destination}/files`,
      { type: 'image', fileUrl: 'https://example.com/a.jpg' },
      { 'idempotency-key': 'k-1' },
    )
    const unread = await gateway.get(`/chats/whatsapp/100/${destination}/unread`)
    const read = await gateway.get(`/chats/whatsapp/100/${destination}/messages`)

    for (const [{ status, json }, name, kind] of [
      [sent, `POST ${chats}/files`, 'send'],
      [unread, `GET ${chats}/unread`, 'unread'],
      [read, `GET ${chats}/messages`, 'read'],
    ] as const) {
      if (status < 300 || (name.startsWith('GET') && ofSends.has(destination))) continue
      expect(codesIn(operation(name).responses[String(status)]?.description ?? '')).toContain(json.code)
      expect(members(exampleOf(json.code, kind, '')), name).toEqual(members(json))
    }
  })

  test('is what the gateway sends for a key that is in use, reused, or refused', async ({ gateway, sandbox }) => {
    const path = '/chats/whatsapp/100/slow/messages'
    const key = { 'idempotency-key': 'k-1' }
    const first = gateway.post(path, { message: 'Hello' }, key)
    await vi.waitFor(() => expect(sandbox.calls).toHaveLength(1), { timeout: 40_000 })
    const inUse = await gateway.post(path, { message: 'Hello' }, key)
    const reused = await gateway.post(path, { message: 'Bye' }, key)
    const twice = await gateway.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': ['a', 'b'] },
      body: '{"message":"Hello"}',
    })
    await first

    expect([inUse, reused, twice].map(({ status }) => status)).toEqual([409, 422, 400])
    for (const { status, json } of [inUse, reused, twice]) {
      expect(codesIn(operation(`POST ${chats}/messages`).responses[String(status)]?.description ?? '')).toContain(json.code)
      expect(members(exampleOf(json.code, 'send', ''))).toEqual(members(json))
    }
  })

  plain.for(operations)('is of the kind of %s', ([name, { responses }]) => {
    const kind = name.startsWith('POST /chats') ? 'send' : name.endsWith('/unread') ? 'unread' : 'read'

    for (const { content } of Object.values(responses)) {
      const [example] = examplesOf(content?.['application/problem+json'] ?? ({} as Media)) as { code: ProblemCode }[]
      if (example) expect(example).toEqual(exampleOf(example.code, kind, ''))
    }
  })

  plain('of a send that the process left behind leaves open what happened', () => {
    expect(exampleOf('send-interrupted', 'send', '')).toMatchObject({ outcome: 'unknown', retry: 'same-key', sendId: expect.any(String) })
  })
})
