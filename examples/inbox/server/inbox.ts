import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Client, createClient, GatewayProblem } from '../../../client/src/client.ts' // '@afilnet-gateway/client' in a project of your own
import { createAccountStream } from './account-stream.ts'
import { fileOf, policyFor } from './files.ts'
import { listConversations } from './lists.ts'
import { issueToken } from './tokens.ts'

export type InboxOptions = {
  /** An API key with `channels:read`, `chats:read`, `events:read`, `tokens:issue`, and the scopes of the tokens. It never leaves this process. */
  key: string
  port?: number
  /** Who asks; the gateway keeps the name with each send. Put your own login here: anyone who reaches this server can read and write everything. */
  actorOf?: (request: IncomingMessage) => string | undefined
}

/** The backend of the page: it holds the key, lists conversations, fans one stream of events out, and makes tokens for single conversations. */
export async function startInbox({ key, port = 0, actorOf = () => 'inbox' }: InboxOptions) {
  const { promise: connected, resolve: connect } = Promise.withResolvers<Connection>()

  async function answer(request: IncomingMessage, response: ServerResponse) {
    const actor = actorOf(request)
    if (actor === undefined) return void response.writeHead(401).end()
    const { gatewayUrl, gateway, stream, policy } = await connected
    const { pathname } = new URL(request.url ?? '/', 'http://inbox')
    const route = `${request.method} ${pathname}`
    if (route === 'GET /api/events') return stream.join(request, response)
    if (route === 'GET /api/conversations') return json(response, 200, await listConversations(gateway))
    if (route === 'POST /api/tokens')
      return json(response, 201, { ...(await issueToken(gateway, actor, await bodyOf(request))), gatewayUrl })
    const file = request.method === 'GET' || request.method === 'HEAD' ? await fileOf(pathname) : undefined
    if (!file) return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': file.type, 'content-security-policy': policy, ...common }).end(file.content)
  }

  const server = createServer((request, response) => {
    const { host, 'sec-fetch-site': site = 'none', 'sec-fetch-dest': target } = request.headers
    // Another site must not reach this server through a name of its own or a form of its own. It may link here, or lead back after a login.
    const isLink = request.method === 'GET' && target === 'document'
    if (host !== new URL(url).host || (site !== 'same-origin' && site !== 'none' && !isLink))
      return void response
        .writeHead(403, { 'content-type': 'text/plain' })
        .end(`This server answers as ${url} only; README.md of the inbox says how to put a proxy in front.\n`)
    answer(request, response).catch(error => {
      const { status, code, title } = error instanceof GatewayProblem ? error : failed
      if (response.headersSent) response.destroy()
      else json(response, status >= 400 ? status : failed.status, { code, title })
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}` // a listening TCP server has a port

  return {
    url,
    /** The gateway has to allow this server's origin (CORS_ORIGINS), so it may start after it. */
    async connect(gatewayUrl: string) {
      const gateway = createClient({ baseUrl: gatewayUrl, key })
      connect({ gatewayUrl, gateway, stream: createAccountStream(gateway), policy: await policyFor(new URL(gatewayUrl).origin) })
      await connected
    },
    async close() {
      connected.then(({ stream }) => stream.close())
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

type Connection = { gatewayUrl: string; gateway: Client; stream: ReturnType<typeof createAccountStream>; policy: string }

const failed = { status: 502, code: 'inbox-failed', title: 'The inbox failed' }
const common = { 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' }

function json(response: ServerResponse, status: number, body: object) {
  response.writeHead(status, { 'content-type': 'application/json', ...common, 'cache-control': 'no-store' }).end(JSON.stringify(body))
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > 10_000) throw new Error('The body is too large')
  }
  return JSON.parse(text)
}
