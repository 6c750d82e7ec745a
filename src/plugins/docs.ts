import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { failures, faults } from '../afilnet/faults.ts'
import { everyOperation, type Operation } from '../afilnet/operations.ts'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { Problem, problemBody } from '../problem/problem.ts'
import { version } from '../version.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The operation of Afilnet behind the route; the API document lists its errors. */
    operation?: Operation
    /** Errors of this route beyond those of its operation. */
    errors?: readonly ProblemCode[]
  }
}

type DocsOptions = { publicUrl: URL | undefined; base: string; serve: boolean }

const description = `REST in front of the Afilnet chat API. Every error is \`application/problem+json\`: decide on its \`code\`, on \`outcome\`
(did anything happen at Afilnet?) and on \`retry\` (may the request be repeated?). \`GET /problems/{code}\` explains each.

With the sandbox, these values of \`{destination}\` (for the conversations of a channel: of \`{platformId}\`) show what your code will meet:

| destination | what happens |
| --- | --- |
| a code of Afilnet's: ${Object.keys(faults)
  .concat('NOT_ACCESS_TO_TEMPLATE')
  .map(code => `\`${code}\``)
  .join(', ')} | Afilnet answers with that error |
| \`slow\` | the answer takes three seconds |
| \`silent\` | Afilnet takes the message and never answers |
| \`html\` | a web page comes instead of an answer |
| \`truncated\` | the answer is cut short |
| \`drops\` | Afilnet takes the message, then drops the connection |
| \`resets\` | the connection is reset and nothing is taken |
`

/** The OpenAPI document, made from the routes and the tables of errors, and Swagger UI on top. */
export const docs = fp<DocsOptions>(async function docs(app, { publicUrl, base, serve }) {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Afilnet gateway', version, description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: base || '/' }],
      tags: [
        { name: 'Chats', description: 'Channels, conversations and their messages' },
        { name: 'Sends', description: 'Messages and files to a conversation' },
        { name: 'Gateway', description: 'The gateway itself' },
      ],
      components: {
        securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'The API key of a caller, never the Afilnet password' } },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema-${i}`) },
    transformObject: document => published('openapiObject' in document ? document.openapiObject : document.swaggerObject) as never, // the same document
    transform: ({ schema, url, route }) => ({ schema: documented(schema, route, app.getSchemas()), url }),
  })
  if (!serve) return

  app.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } }, async (_, reply) => {
    reply.header('cache-control', 'no-cache')
    return app.swagger()
  })
  await app.register(async scope => {
    const connect = ["'self'", publicUrl?.origin].filter(Boolean).join(' ')
    const policy = `default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src ${connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
    scope.addHook('onRoute', route => {
      route.config = { ...route.config, scope: 'public' }
    })
    scope.addHook('onRequest', async (request, reply) => {
      reply.headers({ 'content-security-policy': policy, 'cross-origin-opener-policy': 'same-origin', 'cache-control': 'no-cache' })
      const file = (request.params as { '*'?: string })['*'] // of @fastify/static, which answers 500 to a name that it does not like
      if (file !== undefined && !/^\w[\w.-]{0,99}$/.test(file)) throw new Problem('not-found')
      // Nothing here takes a query; with one, Swagger UI would look for its document behind it. Relative, so that any path will do.
      const [path = '', query] = request.url.split('?', 2)
      if (path.endsWith('/static/index.html')) return reply.redirect('../')
      if (query !== undefined) return reply.redirect(`./${path.split('/').at(-1)}`)
    })
    await scope.register(fastifySwaggerUi, {
      routePrefix: '/docs',
      indexPrefix: '.', // relative, so that the page works under any path
      logo: null as never, // the types know no way to say "none"
      theme: { title: 'Afilnet gateway' },
      uiConfig: {
        layout: 'BaseLayout',
        persistAuthorization: false,
        tryItOutEnabled: true,
        displayRequestDuration: true,
        docExpansion: 'list',
      },
    })
  })
})

/** A route's schema with everything that the tables know: the key it needs and each error it can give. */
function documented(schema: FastifySchema, { config, method, url }: RouteOptions, shared: Record<string, unknown>): FastifySchema {
  const keyed = config?.scope !== 'public'
  const codes: ProblemCode[] = [
    'request-timeout',
    'uri-too-long',
    'expectation-failed',
    'headers-too-large',
    'internal-error',
    'draining',
    'invalid-request',
  ]
  if (schema?.params && !keyed) codes.push('not-found')
  if (keyed) codes.push('unauthenticated')
  if (keyed && config?.scope !== 'any-key') codes.push('insufficient-scope')
  if (keyed && url.includes(':platform')) codes.push('chat-not-allowed')
  if (!url.startsWith('/health/')) codes.push('rate-limited')
  if (method === 'POST') codes.push('payload-too-large', 'unsupported-media-type')
  if (config?.operation) codes.push(...upstreamCodes(config.operation))
  codes.push(...(config?.errors ?? []))

  const unsafe = config?.operation?.safe === false
  const responses: Record<string, ProblemCode[]> = Object.groupBy([...new Set(codes)], code => catalogue[code].status)
  const errors = Object.entries(responses).map(([status, members = []]) => [status, errorResponse(members, unsafe)] as const)
  // A status that a route describes itself keeps its description.
  const unchanged = config?.revalidate && { 304: { type: 'null', description: 'The caller has this very list already (`If-None-Match`)' } }
  const response = { ...Object.fromEntries(errors), ...describeSuccess(schema?.response, shared), ...unchanged }
  const described = Object.entries<object>(response).map(([status, answer]) => [
    status,
    { ...answer, headers: headersOf(Number(status), responses[status] ?? [], config) },
  ])
  return { ...schema, response: Object.fromEntries(described), ...(keyed ? { security: [{ apiKey: [] }] } : { security: [] }) }
}

/** Without the keywords of the gateway, which no other tool knows. */
function published(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(published)
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(
    Object.entries(part)
      .filter(([name]) => name !== 'wellFormed')
      .map(([name, value]) => [name, published(value)]),
  )
}

const text = (description: string) => ({ type: 'string', description })

/** The headers that a caller may go by. */
function headersOf(status: number, codes: readonly ProblemCode[], config: RouteOptions['config']) {
  const waits = codes.some(code => new Problem(code).headers['retry-after'] !== undefined)
  const sends = config?.operation?.kind === 'send'
  return {
    'X-Request-Id': text('The id of the request, in the log too; one of the form `[A-Za-z0-9_-]{8,64}` is taken over from the request'),
    ...(config?.revalidate && status < 400 && { ETag: text('For `If-None-Match`') }),
    ...(status === 201 && { Location: text('Where to ask what became of it') }),
    ...(sends &&
      [201, 404, 422, 502, 504].includes(status) && {
        'Idempotency-Replayed': text('`true`: an earlier request with this key ended so; nothing was sent now'),
      }),
    ...(status === 429 && {
      RateLimit: text('What is left and when it is more: `"requests";r=0;t=42`, as draft-ietf-httpapi-ratelimit-headers has it'),
      'RateLimit-Policy': text(
        'The limit: `"requests";q=600;w=60`. A limited key gets both headers with every answer of a path that needs a key',
      ),
    }),
    ...(status === 401 && { 'WWW-Authenticate': text('`Bearer`') }),
    ...(waits && { 'Retry-After': text('Seconds') }),
  }
}

function upstreamCodes({ errors, kind }: Operation): ProblemCode[] {
  const documentedErrors = [...everyOperation, ...errors, 'NO_CREDITS', ...(kind === 'send' ? ['NO_ROUTE_AVAILABLE'] : [])]
  const possible = [...documentedErrors.map(code => faults[code as keyof typeof faults]), ...Object.values(failures)]
  return possible.map(({ code }) => code)
}

const successDescriptions: Record<string, string> = { 200: 'Done', 201: 'Afilnet took it' }

function describeSuccess(response: unknown, shared: Record<string, unknown>) {
  const entries = Object.entries((response ?? {}) as Record<string, Schema & { content?: unknown }>)
  return Object.fromEntries(
    entries.map(([status, schema]) => [
      status,
      schema.content
        ? schema
        : { description: successDescriptions[status], content: { 'application/json': { schema, example: exampleOf(schema, shared) } } },
    ]),
  )
}

type Schema = { $ref?: string; examples?: unknown[]; items?: Schema; properties?: Record<string, Schema> }

/** The example of a schema, or one made of the examples of its parts. */
function exampleOf(schema: Schema, shared: Record<string, unknown>): unknown {
  if (schema.$ref !== undefined) return exampleOf(shared[schema.$ref] as Schema, shared) // a route with another one does not boot
  if (schema.examples) return schema.examples[0]
  if (schema.items) return [exampleOf(schema.items, shared)]
  return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, exampleOf(part, shared)]))
}

const exampleIds = { base: '', requestId: '4f7d1f0e-5a0b-4c58-9a39-51a1c2b5d9e6', instance: '0b0f3a3e-8a58-4a4d-9d2c-6f6c2f5f0f5b' }

function errorResponse(codes: ProblemCode[], unsafe: boolean) {
  const examples = codes.map(code => {
    const { status } = catalogue[code]
    const known = Object.values({ ...faults, ...failures }).find(fault => fault.code === code)
    const outcome = unsafe && (known?.outcome === 'unknown' || status === 500) ? 'unknown' : 'not_applied'
    return [code, { summary: catalogue[code].title, value: problemBody(new Problem(code, { outcome }), exampleIds) }]
  })
  return {
    description: codes.map(code => `\`${code}\``).join(', '),
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' }, examples: Object.fromEntries(examples) } },
  }
}

/** The document as text, the way the repository keeps it. */
export async function openapiText(app: FastifyInstance): Promise<string> {
  await app.ready()
  return `${JSON.stringify(app.swagger(), null, 2)}\n`
}
