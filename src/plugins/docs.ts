import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Operation } from '../afilnet/operations.ts'
import { isNamed } from '../lib/if-none-match.ts'
import { loadOnce } from '../lib/load-once.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The OpenAPI document of the routes, once the app is ready. */
    openapi: () => Promise<object>
  }
  interface FastifyContextConfig {
    /** The operation of Afilnet behind the route; the API document lists its errors. */
    operation?: Operation
    /** The route reads from Afilnet, although it stands for none of its operations. */
    callsAfilnet?: true
    /** Errors of this route beyond those of its operation. */
    errors?: readonly ProblemCode[]
  }
}

type DocsOptions = { publicUrl: URL | undefined; base: string; serve: boolean }

/** The OpenAPI document, made of the routes and the tables of errors with the first request for it, and Swagger UI on top. */
export const docs = fp<DocsOptions>(async function docs(app, { publicUrl, base, serve }) {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => void routes.push(route))
  // Of the examples, the base is part of what the gateway sends. The links are to the same server, as the page is.
  const links = publicUrl?.pathname.replace(/\/$/, '') ?? ''
  const document = loadOnce(async () => (await import('./openapi-document.ts')).createDocument(routes, app.getSchemas(), base, links))
  app.decorate('openapi', document)
  if (!serve) return

  app.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } }, async (_, reply) => {
    reply.header('cache-control', 'no-cache')
    return document()
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
  const page = loadOnce(async () => (await import('./docs-page.ts')).createDocsPage(await app.openapi(), base))
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
  return `${shallow(await app.openapi())}\n`
}
