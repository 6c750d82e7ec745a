import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { Problem } from '../problem/problem.ts'
import { AcceptHeader, isBrowser, jsonOrPage, sendPage } from './html-page.ts'
import { ref } from './params.ts'

/** Where to go from here. */
export const GatewayLinks = Type.Object(
  {
    name: Type.String(),
    docs: Type.Optional(Type.String({ description: 'The docs page; absent if it is switched off' })),
    openapi: Type.Optional(Type.String()),
    problems: Type.String({ description: 'What the errors mean' }),
    health: Type.String(),
  },
  {
    $id: 'GatewayLinks',
    examples: [{ name: 'Afilnet gateway', docs: '/docs', openapi: '/openapi.json', problems: '/problems', health: '/health/ready' }],
  },
)
type Links = Static<typeof GatewayLinks>

type LandingOptions = { base: string; docs: boolean }

/** The first page of the gateway: what this is, and where to go. */
export const landing: FastifyPluginAsyncTypebox<LandingOptions> = async (app, { base, docs }) => {
  const links: Links = {
    name: 'Afilnet gateway',
    ...(docs && { docs: `${base}/docs`, openapi: `${base}/openapi.json` }),
    problems: `${base}/problems`,
    health: `${base}/health/ready`,
  }
  app.get(
    '/',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'getLinks',
        summary: 'What this is, and where its documents are',
        tags: ['Gateway'],
        headers: AcceptHeader,
        response: { 200: jsonOrPage('The links', ref(GatewayLinks)) },
      },
    },
    async ({ headers, raw }, reply) => {
      if (raw.url === '*') throw new Problem('not-found') // the router takes it for the path /
      reply.headers({ vary: 'Accept', 'cache-control': 'no-cache' })
      return isBrowser(headers) ? sendPage(reply, links.name, page(links)) : links
    },
  )
}

function page({ name, docs, openapi, problems, health }: Links) {
  const rows = [
    [docs, 'Docs', 'Try each call with your API key'],
    [openapi, 'OpenAPI document', 'Generate a client from it'],
    [problems, 'Errors', 'What each code means and whether to repeat the request'],
    [health, 'Health', 'Whether this gateway takes requests'],
  ].filter(([href]) => href !== undefined)
  return `<h1>${name}</h1>
<p>This server sends and reads WhatsApp, Telegram and web chat messages of an Afilnet account over REST. Programs call it with an API key; the account's password stays here.</p>
<dl>
${rows.map(([href, title, text]) => `<dt><a href="${href}">${title}</a></dt><dd>${text}.</dd>`).join('\n')}
</dl>`
}
