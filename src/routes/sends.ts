import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { normalizeDestination, type TokenGrant } from '../access.ts'
import { oneOf, openWord } from '../lib/string-enum.ts'
import { Problem, type ProblemBody } from '../problem/problem.ts'
import type { SendReader } from '../sends/reads.ts'
import type { Sends } from '../sends/sends.ts'
import type { Call } from '../upstream/call.ts'
import { readLimit } from './pages.ts'
import { AnsweredPlatform, text } from './params.ts'

const states = ['queued', 'pending', 'accepted', 'rejected', 'not_sent', 'unknown', 'expired', 'canceled'] as const
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
  settledBy: 'answer',
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
    sendAt: Type.Optional(Type.String({ format: 'date-time', description: 'Of a queued send: when it is due' })),
    expiresAt: Type.Optional(Type.String({ format: 'date-time', description: 'Of a queued send: after this it is not attempted' })),
    settledBy: Type.Optional(
      openWord(
        ['answer', 'late-answer', 'read-back', 'caller'],
        'Who said how it ended. `read-back`: it was found in the conversation, which is an inference.',
      ),
    ),
    note: Type.Optional(Type.String({ description: 'What was written when it was settled by hand' })),
    messageId: Type.Optional(Type.String({ description: 'The message that it became, once found in the conversation' })),
    delivery: Type.Optional(
      Type.Object(
        { status: Type.String(), at: Type.String({ format: 'date-time' }) },
        { description: "Afilnet's own word, and when the gateway first saw it" },
      ),
    ),
    problem: Type.Optional(Type.Unsafe<ProblemBody>(Type.Ref('Problem'))),
  },
  {
    $id: 'Send',
    examples: [sendExample],
  },
)

const SendParams = Type.Object({ id: Type.String({ description: 'The id of the send', examples: [sendExample.id] }) })

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

/** What a person found out about an unknown send. */
export const SendVerdict = Type.Object(
  {
    state: oneOf(['accepted', 'rejected', 'not_sent'], { description: '`not_sent` frees the key; else the key replays this result' }),
    note: Type.Optional(text({ maxLength: 1_000, description: 'Shown in the send', examples: ['Seen in the app by Ana'] })),
  },
  { $id: 'SendVerdict', additionalProperties: false, examples: [{ state: 'accepted', note: 'Seen in the app by Ana' }] },
)

export const sendLedger: FastifyPluginAsyncTypebox<{ sends: Sends }> = async (app, { sends }) => {
  app.delete(
    '/sends/:id',
    {
      config: { scope: 'any-key', errors: ['insufficient-scope', 'send-not-found', 'send-already-started', 'store-unavailable'] },
      schema: {
        operationId: 'cancelSend',
        summary: 'Cancel a send that is queued',
        description: 'Needs the scope that the send itself needs. A send is canceled or it goes, never both.',
        tags: ['Sends'],
        params: SendParams,
        response: { 200: Type.Unsafe<Send>(Type.Ref('Send')) },
      },
    },
    (request, reply) => {
      const { params, caller } = request
      if (!caller) throw new Problem('unauthenticated')
      reply.header('cache-control', 'no-store')
      return sends.cancel({ ...readerOf(request), scopes: caller.scopes }, params.id)
    },
  )
  app.post(
    '/sends/:id/settle',
    {
      config: { scope: 'any-key', errors: ['insufficient-scope', 'send-not-found', 'send-already-settled', 'store-unavailable'] },
      schema: {
        operationId: 'settleSend',
        summary: 'Record what you found out about a send that is unknown',
        description: 'Needs the scope that the send itself needs.',
        tags: ['Sends'],
        params: SendParams,
        body: Type.Unsafe<Static<typeof SendVerdict>>(Type.Ref('SendVerdict')),
        response: { 200: Type.Unsafe<Send>(Type.Ref('Send')) },
      },
    },
    (request, reply) => {
      const { id: requestId, params, body, caller } = request
      if (!caller) throw new Problem('unauthenticated')
      reply.header('cache-control', 'no-store')
      return sends.settle({ ...readerOf(request), scopes: caller.scopes }, params.id, { ...body, requestId })
    },
  )
  app.get(
    '/sends/:id',
    {
      config: { scope: 'any-key', errors: ['send-not-found', 'store-unavailable'] },
      schema: {
        operationId: 'getSend',
        summary: 'What became of a send of this caller',
        description: 'Answers from the ledger of the gateway, without asking Afilnet. A send of another caller is 404.',
        tags: ['Sends'],
        params: SendParams,
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
