import fastify from 'fastify'
import { Agent } from 'undici'
import { formOf, port, upstream } from './contract.ts'

// What the stack alone costs: a route that posts the form and returns Afilnet's bytes. It checks, translates, limits, logs and stores nothing.

type Chat = { Params: { platform: string; platformId: string; destination: string }; Body: { message: string } }

const app = fastify()
const agent = new Agent({ connections: 1024, pipelining: 1 })
const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }

/** Posts a form and resolves with the bytes of the answer. */
function call(body: string) {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  agent.dispatch(
    { origin: upstream.origin, path: upstream.pathname, method: 'POST', headers, body },
    {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData: (_controller, chunk) => void chunks.push(chunk),
      onResponseEnd: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)), // one was counted
      onResponseError: (_controller, error) => reject(error),
    },
  )
  return promise
}

const path = '/chats/:platform/:platformId/:destination/messages'
const chatOf = ({ platform, platformId, destination }: Chat['Params']) => ({ platform, platformid: platformId, destination })
app.get<Chat>(path, async ({ params }, reply) => reply.type('application/json').send(await call(formOf('getmessages', chatOf(params)))))
app.post<Chat>(path, async ({ params, body }, reply) =>
  reply.type('application/json').send(await call(formOf('sendmessage', { ...chatOf(params), message: body.message }))),
)

await app.listen({ port, host: '127.0.0.1' })
