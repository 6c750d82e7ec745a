import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest, preParsingHookHandler } from 'fastify'
import { oneOf, openWord } from '../lib/string-enum.ts'
import { Problem } from '../problem/problem.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'
import { cursorList, cursorPage, readLimit } from './lists.ts'
import { Nullable, ref } from './params.ts'

/** An endpoint that gets the events of an account. */
export const Webhook = Type.Object(
  {
    name: Type.String(),
    url: Type.String({ description: 'Without its query' }),
    state: openWord(
      ['ok', 'paused', 'disabled'],
      '`paused`: the endpoint is down and is tried again. `disabled`: it answered 410 and gets nothing until a reload or a restart.',
    ),
    lag: Type.Integer({ description: 'Seconds that the oldest event waits' }),
    lastError: Type.Optional(Type.String()),
  },
  { $id: 'Webhook', examples: [{ name: 'crm', url: 'https://crm.example.com/events', state: 'ok', lag: 0 }] },
)

export const WebhookList = Type.Object({ items: Type.Array(ref(Webhook)) }, { $id: 'WebhookList' })

/** An event that a webhook has not delivered. */
export const Delivery = Type.Object(
  {
    eventId: Type.String(),
    type: Type.String(),
    at: Type.String({ format: 'date-time', description: 'When the event was found' }),
    destination: Nullable(),
    state: openWord(['pending', 'failed'], '`failed`: the endpoint refused it five times.'),
    attempts: Type.Integer(),
    lastStatus: Type.Optional(Type.Integer()),
    lastError: Type.Optional(Type.String()),
    lastAttemptAt: Type.Optional(Type.String({ format: 'date-time' })),
  },
  {
    $id: 'Delivery',
    examples: [
      {
        eventId: 'x3Fq8kZ1rT0a5k2m9d7w1',
        type: 'message.created',
        at: '2026-01-31T09:30:00.000Z',
        destination: '34600000000',
        state: 'failed',
        attempts: 5,
        lastStatus: 422,
        lastAttemptAt: '2026-01-31T09:30:15.000Z',
      },
    ],
  },
)

export const DeliveryPage = cursorList('DeliveryPage', Delivery, 'MTc5NTY2NjMz')

export const WebhookTest = Type.Object(
  {
    status: Type.Unsafe<number | null>({ type: ['integer', 'null'], description: 'What the endpoint answered; null without an answer' }),
    ms: Type.Integer(),
    error: Type.Optional(Type.String()),
  },
  { $id: 'WebhookTest', examples: [{ status: 204, ms: 12 }] },
)

export const Redrive = Type.Object(
  {
    after: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'The id of an event: delivers again what follows it' })),
    failed: Type.Optional(Type.Literal(true, { description: '`true`: delivers again what has failed' })),
  },
  { $id: 'Redrive', additionalProperties: false, minProperties: 1, maxProperties: 1, examples: [{ failed: true }] },
)

const named = Type.Object({ name: Type.String({ maxLength: 63, description: 'Of the webhook', examples: ['crm'] }) })
const errors = ['webhook-not-found', 'store-unavailable'] as const
const tags = ['Webhooks']

const listWebhooks = {
  operationId: 'listWebhooks',
  summary: 'Webhooks of your account',
  description: 'Lists the endpoints that the operator has configured, and how they are.',
  tags,
  response: { 200: ref(WebhookList) },
}

const listDeliveries = {
  operationId: 'listDeliveries',
  summary: 'Events that a webhook has not delivered',
  description: 'Lists what waits and what has failed, oldest first. Delivered events are not kept.',
  tags,
  params: named,
  querystring: Type.Object(
    {
      state: Type.Optional(oneOf(['pending', 'failed'], { description: 'Only those in this state' })),
      ...cursorPage,
    },
    { additionalProperties: false },
  ),
  response: { 200: ref(DeliveryPage) },
}

const redriveWebhook = {
  operationId: 'redriveWebhook',
  summary: 'Deliver events again',
  description: 'Takes either `after` or `failed`. Deliveries begin within seconds.',
  tags,
  params: named,
  body: ref(Redrive),
  response: { 202: { type: 'null', description: 'The events will be delivered again' } },
} as const

const testWebhook = {
  operationId: 'testWebhook',
  summary: 'Post a test event to a webhook',
  description: 'The signed event has the type `test` and is in no log. A 2xx ends a pause.',
  tags,
  params: named,
  response: { 200: ref(WebhookTest) },
}

/** A POST without a body has a content type from many clients (axios: a form's), which nothing could parse. */
const withoutBody: preParsingHookHandler = ({ headers }, _, payload, done) => {
  if ((headers['transfer-encoding'] ?? headers['content-length'] ?? '0') === '0') delete headers['content-type']
  done(null, payload)
}

/** Callers with `chats` see no webhooks: those get the events of every chat. */
function accountOf({ caller }: FastifyRequest): string {
  if (caller.chats) throw new Problem('webhook-not-found')
  return caller.account
}

/** The webhooks of the caller's account; `webhooks` is absent while none is configured. */
export const webhookRoutes: FastifyPluginAsyncTypebox<{ webhooks: () => Webhooks | undefined }> = async (app, { webhooks }) => {
  const ofCaller = (request: FastifyRequest) => {
    const account = accountOf(request)
    const running = webhooks()
    if (!running) throw new Problem('webhook-not-found')
    return { account, running }
  }
  const read = { scope: 'webhooks:read', errors } as const
  const write = { scope: 'webhooks:write', errors } as const

  app.get('/webhooks', { config: read, schema: listWebhooks }, async (request, reply) => {
    const account = accountOf(request)
    reply.header('cache-control', 'no-store')
    return { items: (await webhooks()?.list(account)) ?? [] }
  })
  app.get('/webhooks/:name/deliveries', { config: read, schema: listDeliveries, preValidation: readLimit }, async (request, reply) => {
    const { account, running } = ofCaller(request)
    const { limit = 20, ...query } = request.query
    reply.header('cache-control', 'no-store')
    return running.deliveries(account, request.params.name, { ...query, limit })
  })
  app.post('/webhooks/:name/redrive', { config: write, schema: redriveWebhook }, async (request, reply) => {
    const { account, running } = ofCaller(request)
    await running.redrive(account, request.params.name, request.body)
    return reply.code(202).header('cache-control', 'no-store').send()
  })
  app.post('/webhooks/:name/test', { config: write, schema: testWebhook, preParsing: withoutBody }, async (request, reply) => {
    const { account, running } = ofCaller(request)
    reply.header('cache-control', 'no-store')
    return running.test(account, request.params.name)
  })
}
