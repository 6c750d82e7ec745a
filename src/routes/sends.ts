import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { oneOf } from '../lib/string-enum.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import type { SendReader } from '../sends/reads.ts'
import type { Sends } from '../sends/sends.ts'
import { sendStates } from '../store/store.ts'
import { cursorPage, readLimit } from './lists.ts'
import { Platform, ref } from './params.ts'
import { canceledExample, Send, SendPage, SendVerdict, sendExample } from './send-schemas.ts'

const SendParams = Type.Object({ id: Type.String({ description: 'The id of the send', examples: [sendExample.id] }) })

const Filters = Type.Object(
  {
    state: Type.Optional(oneOf(sendStates, { description: 'Only sends in this state' })),
    platform: Type.Optional(ref(Platform)),
    platformId: Type.Optional(Type.String({ description: 'Only those from this channel' })),
    destination: Type.Optional(Type.String({ description: 'Only those to this destination' })),
    reference: Type.Optional(Type.String({ description: 'Only those with this label' })),
    idempotencyKey: Type.Optional(Type.String({ description: 'Only those with this key' })),
    ...cursorPage,
  },
  { additionalProperties: false },
)

/** Whose sends a request may see. */
const readerOf = ({ caller: { name, account, token } }: FastifyRequest): SendReader => ({ caller: name, account, token })

const tags = ['Sends']
const oneSend = { params: SendParams, response: { 200: ref(Send) } }

const cancelSend = {
  params: SendParams,
  response: { 200: { description: 'It is canceled', content: { 'application/json': { schema: ref(Send), example: canceledExample } } } },
  operationId: 'cancelSend',
  summary: 'Cancel a send that is queued',
  description: 'Needs the scope of the send itself. A send is canceled or it goes, never both.',
  tags,
}

const settleSend = {
  ...oneSend,
  operationId: 'settleSend',
  summary: 'Record what you found out about a send that is unknown',
  description: 'Needs the scope of the send itself.',
  tags,
  body: ref(SendVerdict),
}

const getSend = {
  ...oneSend,
  operationId: 'getSend',
  summary: 'What became of a send of this caller',
  description: 'Answers from the ledger of the gateway, without asking Afilnet. A send of another caller is 404.',
  tags,
}

const listSends = {
  operationId: 'listSends',
  summary: 'The sends of this caller, newest first',
  description: 'Lists what you sent, page by page. After a crash of your own, find a send by its `idempotencyKey` or `reference`.',
  tags,
  querystring: Filters,
  response: { 200: ref(SendPage) },
}

const anyKey = (...errors: ProblemCode[]) => ({ scope: 'any-key', errors: [...errors, 'store-unavailable'] }) as const

export const sendLedger: FastifyPluginAsyncTypebox<{ sends: Sends }> = async (app, { sends }) => {
  app.delete(
    '/sends/:id',
    { config: anyKey('insufficient-scope', 'send-not-found', 'send-already-started'), schema: cancelSend },
    (request, reply) => {
      const { params, caller } = request
      reply.header('cache-control', 'no-store')
      return sends.cancel({ ...readerOf(request), scopes: caller.scopes }, params.id)
    },
  )
  app.post(
    '/sends/:id/settle',
    { config: anyKey('insufficient-scope', 'send-not-found', 'send-already-settled'), schema: settleSend },
    (request, reply) => {
      const { id: requestId, params, body, caller } = request
      reply.header('cache-control', 'no-store')
      return sends.settle({ ...readerOf(request), scopes: caller.scopes }, params.id, { ...body, requestId })
    },
  )
  app.get('/sends/:id', { config: anyKey('send-not-found'), schema: getSend }, (request, reply) => {
    const { params, call } = request
    reply.header('cache-control', 'no-store')
    return sends.find(readerOf(request), params.id, call.cancellation)
  })
  app.get('/sends', { config: anyKey(), schema: listSends, preValidation: readLimit }, (request, reply) => {
    const { limit = 20, ...filters } = request.query
    reply.header('cache-control', 'no-store')
    return sends.list(readerOf(request), { ...filters, limit }, request.call.cancellation)
  })
}
