import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { normalizeDestination, type TokenGrant } from '../access.ts'
import { oneOf, openWord } from '../lib/string-enum.ts'
import type { ProblemBody } from '../problem/problem.ts'
import type { SendReader } from '../sends/reads.ts'
import type { Sends } from '../sends/sends.ts'
import type { Call } from '../upstream/call.ts'
import { readLimit } from './pages.ts'
import { AnsweredPlatform } from './params.ts'

const states = ['pending', 'accepted', 'rejected', 'not_sent', 'unknown'] as const
const State = openWord(
  states,
  '`accepted`: Afilnet took it, which does not say that it was delivered. `rejected`: Afilnet refused what was asked. `not_sent`: nothing happened. `unknown`: it may have been sent.',
)

export const sendExample = {
  id: '019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b',
  kind: 'message',
  platform: 'whatsapp',
  platformId: '100',
  destination: '34600000000',
  state: 'accepted',
  idempotencyKey: 'order-4711-shipped',
  reference: 'order-4711',
  createdAt: '2026-01-31T09:30:00.000Z',
  settledAt: '2026-01-31T09:30:00.250Z',
}

/** A message or file, and what became of it. */
export type Send = Static<typeof Send>
export const Send = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: oneOf(['message', 'file']),
    platform: AnsweredPlatform,
    platformId: Type.String(),
    destination: Type.String(),
    state: State,
    idempotencyKey: Type.Optional(Type.String()),
    reference: Type.Optional(Type.String()),
    actor: Type.Optional(Type.String({ description: 'Who used the token that it was made with' })),
    createdAt: Type.String({ format: 'date-time' }),
    settledAt: Type.Optional(Type.String({ format: 'date-time' })),
    problem: Type.Optional(Type.Unsafe<ProblemBody>(Type.Ref('Problem'))),
  },
  {
    $id: 'Send',
    examples: [sendExample],
  },
)

const cursorExample = 'MDE5YTBiMWMtMmQzZS03ZjQwLThhNWItNmM3ZDhlOWYwYTFi'

/** A page of sends. */
export const SendPage = Type.Object(
  {
    items: Type.Array(Type.Unsafe<Send>(Type.Ref('Send'))),
    nextCursor: Type.Optional(Type.String({ description: 'For the next page; absent on the last one', examples: [cursorExample] })),
  },
  { $id: 'SendPage' },
)

const Filters = Type.Object(
  {
    state: Type.Optional(oneOf(states, { description: 'Only sends in this state' })),
    platform: Type.Optional(Type.Unsafe<string>(Type.Ref('Platform'))),
    platformId: Type.Optional(Type.String({ description: 'Only those from this channel' })),
    destination: Type.Optional(Type.String({ description: 'Only those to this destination' })),
    reference: Type.Optional(Type.String({ description: 'Only those with this label' })),
    idempotencyKey: Type.Optional(Type.String({ description: 'Only those with this key' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20, description: 'How many to a page' })),
    cursor: Type.Optional(Type.String({ description: '`nextCursor` of the page before' })),
  },
  { additionalProperties: false },
)

type Asking = { call: Call; caller: { token?: TokenGrant } | undefined }

/** Whose sends a request may see. */
export const readerOf = ({ call, caller }: Asking): SendReader => ({
  caller: call.caller,
  account: call.account.name,
  token: caller?.token,
})

export const sendLedger: FastifyPluginAsyncTypebox<{ sends: Sends }> = async (app, { sends }) => {
  app.get(
    '/sends/:id',
    {
      config: { scope: 'any-key', errors: ['send-not-found', 'store-unavailable'] },
      schema: {
        operationId: 'getSend',
        summary: 'What became of a send of this caller',
        description: 'Answers from the ledger of the gateway, without asking Afilnet. A send of another caller is 404.',
        tags: ['Sends'],
        params: Type.Object({ id: Type.String({ description: 'The id of the send', examples: ['019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b'] }) }),
        response: { 200: Type.Unsafe<Send>(Type.Ref('Send')) },
      },
    },
    (request, reply) => {
      const { params, call } = request
      reply.header('cache-control', 'no-store')
      return sends.find(readerOf(request), params.id, call.cancellation)
    },
  )
  app.get(
    '/sends',
    {
      config: { scope: 'any-key', errors: ['store-unavailable'] },
      schema: {
        operationId: 'listSends',
        summary: 'The sends of this caller, newest first',
        description: 'Lists what you sent, page by page. After a crash of your own, find a send by its `idempotencyKey` or `reference`.',
        tags: ['Sends'],
        querystring: Filters,
        response: {
          200: Type.Unsafe<Static<typeof SendPage>>(Type.Ref('SendPage')),
        },
      },
      preValidation: readLimit,
    },
    (request, reply) => {
      const { limit = 20, destination, ...filters } = request.query
      reply.header('cache-control', 'no-store')
      const name = destination === undefined ? undefined : normalizeDestination(filters.platform ?? 'whatsapp', destination)
      const given = { ...filters, ...(name !== undefined && { destination: name }), limit }
      return sends.list(readerOf(request), given, request.call.cancellation)
    },
  )
}
