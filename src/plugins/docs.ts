import { Readable } from 'node:stream'
import { fastifySwagger } from '@fastify/swagger'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Operation } from '../afilnet/operations.ts'
import { isNamed } from '../lib/if-none-match.ts'
import { loadOnce } from '../lib/load-once.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'
import { version } from '../version.ts'
import { description } from './openapi-description.ts'
import { createDocument } from './openapi-document.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The operation of Afilnet behind the route; the API document lists its errors. */
    operation?: Operation
    /** The route reads from Afilnet, although it stands for none of its operations. */
    callsAfilnet?: true
    /** Errors of this route beyond those of its operation. */
    errors?: readonly ProblemCode[]
  }
}

/** Tools want an absolute URL; no server listens at this one. */
const exampleUrl = 'https://your-gateway.invalid'

type DocsOptions = { publicUrl: URL | undefined; base: string; serve: boolean }

/** The OpenAPI document, made from the routes and the tables of errors, and Swagger UI on top. */
export const docs = fp<DocsOptions>(async function docs(app, { publicUrl, base, serve }) {
  // Of the examples, the base is part of what the gateway sends. The links are to the same server, as the page is.
  const links = publicUrl?.pathname.replace(/\/$/, '') ?? ''
  const document = createDocument(base, links)
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Afilnet gateway', version, description: description(links), license: { name: 'MIT', identifier: 'MIT' } },
      servers: [
        { url: base || exampleUrl, description: base ? 'This gateway' : 'Replace with the URL of your gateway, or set PUBLIC_URL' },
      ],
      tags: [
        { name: 'Chats', description: 'Channels, conversations and their messages' },
        { name: 'Sends', description: 'Messages and files to a conversation' },
        { name: 'Files', description: 'Files of your own' },
        { name: 'Webhooks', description: 'Endpoints of yours that get events' },
        { name: 'Events', description: 'What happens in conversations, as it happens' },
        { name: 'Gateway', description: 'The gateway itself' },
      ],
      security: [{ apiKey: [] }],
      components: {
        securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'The API key of a caller, never the Afilnet password' } },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema-${i}`) },
    transform: document.transform,
    transformObject: document.transformObject as never, // it returns the document that it was given
  })
  if (!serve) return

  app.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } }, async (_, reply) => {
    reply.header('cache-control', 'no-cache')
    return app.swagger()
  })
  servePage(app, publicUrl, base)
})

/** Serves Swagger UI, which is loaded with the first request to it. */
function servePage(app: FastifyInstance, publicUrl: URL | undefined, base: string) {
  const connect = ["'self'", publicUrl?.origin].filter(Boolean).join(' ')
  const headers = {
    'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src ${connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-cache',
  }
  const page = loadOnce(async () => (await import('./docs-page.ts')).createDocsPage(app.swagger(), base))
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    reply.headers(headers)
    const { '*': file } = request.params as { '*'?: string }
    // @fastify/static fails at some of the others.
    if (file !== undefined && !/^(?=.{1,99}$)\w[\w-]*([./][\w-]+)*$/.test(file)) throw new Problem('not-found')
    if (file === 'index.html') return reply.redirect('../')
    // Nothing here takes a query; with one, Swagger UI would look for its document behind it. Relative, so that any path will do.
    const [path = '', query] = request.url.split('?', 2)
    if (query !== undefined) return reply.redirect(`./${path.split('/').at(-1)}`)
    const found = await (await page())(request.routeOptions.url?.replace('*', file ?? '') ?? path)
    if (!found) throw new Problem('not-found')
    const { type, etag, body } = found
    reply.type(type).header('etag', etag)
    // A stream, because the bytes are shared: they must not count as an answer that waits for a slow reader.
    if (isNamed(etag, request.headers['if-none-match'])) return reply.code(304).removeHeader('content-type').send(Readable.from([]))
    return reply.header('content-length', body.length).send(Readable.from([body]))
  }
  for (const path of ['/docs', '/docs/', '/docs/json', '/docs/yaml', '/docs/static/*'])
    app.get(path, { config: { scope: 'public' }, schema: { hide: true } }, answer)
}

/** JSON with a line to each part of the first three levels, not indented: short, and a change shows where it is. */
function shallow(value: unknown, level = 0): string {
  if (level === 3 || typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value)
  const parts = Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}:${shallow(part, level + 1)}`)
  return `{\n${parts.join(',\n')}\n}`
}

/** The document as text, the way the repository keeps it. */
export async function openapiText(app: FastifyInstance): Promise<string> {
  await app.ready()
  return `${shallow(app.swagger())}\n`
}
