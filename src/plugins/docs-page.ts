import { hash } from 'node:crypto'
import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import Fastify from 'fastify'
import { script, style, viewport } from './docs-assets.ts'

/** One file of the docs page. All requests for it share its bytes. */
type DocsFile = { type: string; etag: string; body: Buffer }

/**
 * Creates Swagger UI for a document. Resolves with a function that returns the file at a path, and rejects if the file cannot be read.
 *
 * It is a Fastify of its own without a port, because Fastify takes no plugin while it listens. Each file is read once and kept: 3 MB in all.
 */
export async function createDocsPage(document: object, base: string): Promise<(path: string) => Promise<DocsFile | undefined>> {
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
      syntaxHighlight: { theme: 'tomorrow-night' },
    },
  })

  async function read(path: string): Promise<DocsFile | undefined> {
    const { statusCode, headers, rawPayload: body } = await app.inject(path)
    if (statusCode === 404) return undefined
    if (statusCode !== 200) throw new Error(`Swagger UI answered ${statusCode}`)
    return { type: String(headers['content-type']), etag: `"${hash('sha256', body, 'base64url')}"`, body }
  }

  const files = new Map<string, Promise<DocsFile | undefined>>()
  return path => {
    const known = files.get(path)
    if (known) return known
    const reading = read(path)
    const forget = () => files.delete(path)
    files.set(path, reading)
    reading.then(file => file ?? forget(), forget)
    return reading
  }
}
