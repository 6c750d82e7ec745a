import { hash } from 'node:crypto'
import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import Fastify from 'fastify'
import { script, style, viewport } from './docs-page-parts.ts'

/** One file of the docs page. All requests for it share its bytes. */
export type DocsPart = { type: string; etag: string; body: Buffer }

/**
 * Swagger UI for a document; resolves with a function that finds the part at a path, and rejects if one cannot be read.
 *
 * It is a server without a port, since Fastify takes no plugin while it listens. Each part is asked for once and kept: 3 MB in all.
 */
export async function createDocsPage(document: object, base: string): Promise<(path: string) => Promise<DocsPart | undefined>> {
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

  async function read(path: string): Promise<DocsPart | undefined> {
    const { statusCode, headers, rawPayload: body } = await app.inject(path)
    if (statusCode === 404) return undefined
    if (statusCode !== 200) throw new Error(`Swagger UI answered ${statusCode}`)
    return { type: String(headers['content-type']), etag: `"${hash('sha256', body, 'base64url')}"`, body }
  }

  const parts = new Map<string, Promise<DocsPart | undefined>>()
  return path => {
    const known = parts.get(path)
    if (known) return known
    const reading = read(path)
    const forget = () => parts.delete(path)
    parts.set(path, reading)
    reading.then(part => part ?? forget(), forget)
    return reading
  }
}
