import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import Fastify from 'fastify'
import { script, style, viewport } from './docs-page-parts.ts'

/** Answers a GET of one part of the docs page, with the headers that belong to it alone. */
export type DocsPage = (
  path: string,
  headers: Readonly<Record<string, unknown>>,
) => Promise<{ status: number; headers: Record<string, string>; body?: Buffer }>

/** What may be asked of a part beside the whole of it, and what it says about itself. */
const conditions = ['if-none-match', 'if-modified-since', 'range']
const properties = ['content-type', 'content-range', 'accept-ranges', 'cache-control', 'etag', 'last-modified']

/** Swagger UI for a document, as a server without a port: it is loaded with the first request to it, and Fastify takes no plugin while it listens. */
export async function createDocsPage(document: object, base: string): Promise<DocsPage> {
  const app = Fastify()
  app.addHook('onSend', async (_, reply, payload) =>
    typeof payload === 'string' && /html/.test(String(reply.getHeader('content-type')))
      ? payload.replace('<head>', `<head>${viewport}`)
      : payload,
  )
  await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } }) // its types know no OpenAPI 3.1
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    indexPrefix: '.', // relative, so that the page works under any path
    logo: null as never, // the types know no way to say "none"
    theme: { title: 'Afilnet gateway', css: [{ filename: 'page.css', content: style }], js: [{ filename: 'page.js', content: script }] },
    transformSpecification: document => (base ? document : { ...document, servers: [{ url: '/', description: 'This gateway' }] }),
    uiConfig: {
      layout: 'BaseLayout',
      tryItOutEnabled: true,
      displayRequestDuration: true,
      docExpansion: 'list',
    },
  })
  return async (url, headers) => {
    const part = await app.inject({ url, headers: pick(headers, conditions) })
    return {
      status: part.statusCode,
      headers: pick(part.headers, properties),
      ...(part.rawPayload.length > 0 && { body: part.rawPayload }), // Fastify would give a 304 a type
    }
  }
}

function pick(headers: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap(name => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])))
}
