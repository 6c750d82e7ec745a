import { text } from 'node:stream/consumers'
import { fastifyReplyFrom } from '@fastify/reply-from'
import fastify, { type FastifyReply } from 'fastify'
import { formOf, messagesIn, open, port, Refusal, readChat, readText, requireKey, sendOf, upstream } from './contract.ts'

// A proxy plugin with hooks: @fastify/reply-from sends another body than it got, and another answer than it got back.

type Chat = { Params: Record<string, string>; Body: unknown }
type Envelope = Parameters<typeof open>[0]

const app = fastify()
app.setErrorHandler((error, _request, reply) => fail(reply, error))
app.addHook('onRequest', async ({ headers }) => requireKey(headers.authorization))
await app.register(fastifyReplyFrom, {
  base: upstream.origin,
  undici: { connections: 1024, pipelining: 1 },
  disableRequestLogging: true,
})

const path = '/chats/:platform/:platformId/:destination/messages'
app.get<Chat>(path, ({ params }, reply) => forward(reply, 'getmessages', readChat(params), messagesIn))
app.post<Chat>(path, ({ params, body }, reply) => {
  const chat = readChat(params)
  return forward(reply, 'sendmessage', { ...chat, message: readText(body) }, envelope => {
    open(envelope)
    reply.code(201)
    return sendOf(chat)
  })
})

/** Asks Afilnet, and answers with what `read` makes of its envelope. */
function forward(reply: FastifyReply, method: string, params: Record<string, string>, read: (envelope: Envelope) => object) {
  return reply.from(upstream.pathname, {
    method: 'POST',
    contentType: 'application/x-www-form-urlencoded',
    body: formOf(method, params),
    rewriteRequestHeaders: (_request, { host, 'content-type': type, 'content-length': length }) => ({
      host,
      accept: 'application/json',
      'content-type': type,
      'content-length': length,
    }),
    rewriteHeaders: () => ({}),
    onResponse: (_request, _reply, { stream }) => {
      text(stream)
        .then(body => reply.send(read(JSON.parse(body))))
        .catch(error => fail(reply, error))
    },
  })
}

function fail(reply: FastifyReply, error: unknown) {
  const { status, code } = error instanceof Refusal ? error : { status: 502, code: 'upstream-error' }
  return reply.code(status).type('application/problem+json').send(JSON.stringify({ status, code }))
}

await app.listen({ port, host: '127.0.0.1' })
