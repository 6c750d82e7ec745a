import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { getMessages, getUnreadMessages, sendMessage } from '../afilnet/operations.ts'
import { askedPage, PageQuery, pageOf, readLimit, sendList } from './lists.ts'
import { ChatParams, Nullable, ref, text } from './params.ts'
import { ledgerErrors, postSend, reference, SendHeaders, type SendRoute, sendAnswers, sendDescription } from './post-send.ts'
import { queueFields } from './queueing.ts'
import { sendExample } from './send-schemas.ts'

const messageExample = {
  platform: 'whatsapp',
  platformId: '100',
  destination: '34600000000',
  messageId: '1001',
  message: 'Hello',
  sent: true,
  direction: 'out',
  status: 'READ',
  datetime: '2026-01-31 09:30:00',
}

/** One message of a conversation, in either direction. */
export type Message = Static<typeof Message>
export const Message = Type.Object(
  {
    platform: Nullable(),
    platformId: Nullable(),
    destination: Nullable({ description: 'The other side of the conversation' }),
    messageId: Nullable(),
    message: Nullable({ description: 'The text' }),
    sent: Type.Unsafe<boolean | null>({
      type: ['boolean', 'null'],
      description: "Afilnet's `sent` or `issent`; null where its value is not a boolean",
    }),
    direction: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: '`in` or `out`, as far as `sent` tells; what Afilnet means by it is an inference',
    }),
    status: Nullable({ description: "Afilnet's own word" }),
    datetime: Nullable({ description: "Afilnet's own text, in a time zone that it does not tell" }),
    timestamp: Type.Optional(
      Type.String({
        // No `format`: beside a property named `datetime`, generated Python does not load.
        description: "The same instant in RFC 3339, where the operator has configured Afilnet's time zone",
        examples: ['2026-01-31T08:30:00Z'],
      }),
    ),
    extra: Type.Optional(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description: 'Fields that Afilnet sent and its manual does not name',
      }),
    ),
  },
  { $id: 'Message', examples: [messageExample] },
)

/** Messages in Afilnet's order, or a page of them with the oldest first. */
export const MessageList = Type.Object(
  {
    items: Type.Array(ref(Message)),
    nextCursor: Type.Optional(Type.String({ description: 'Of a page that has newer ones after it: for `after`' })),
    previousCursor: Type.Optional(Type.String({ description: 'Of a page that has older ones before it: for `before`' })),
  },
  { $id: 'MessageList', examples: [{ items: [messageExample] }] },
)
export const Messages = ref(MessageList)

/** The body of a message to send. */
export const NewMessage = Type.Object(
  { message: text({ minLength: 1, description: 'The text', examples: ['Hello'] }), reference, ...queueFields },
  { $id: 'NewMessage', additionalProperties: false, examples: [{ message: 'Hello', reference: 'order-4711' }] },
)

export const messages: FastifyPluginAsyncTypebox<{ route: SendRoute }> = async (app, { route }) => {
  app.get(
    '/chats/:platform/:platformId/:destination/messages',
    {
      config: { scope: 'messages:read', operation: getMessages, revalidate: true, errors: ['cursor-gone'] },
      schema: {
        operationId: 'listMessages',
        summary: 'The messages of a conversation',
        description: 'Lists what you and the other side wrote, in the order of Afilnet. Poll it with `If-None-Match`.',
        tags: ['Chats'],
        params: ChatParams,
        querystring: PageQuery,
        response: { 200: Messages },
      },
      preValidation: readLimit,
    },
    async ({ params, query, call, caller }, reply) => {
      const page = askedPage(query, { messageIds: true })
      const list = await call.account.read(getMessages, chatOf(params), call, caller.chats)
      return sendList(reply, page ? { body: pageOf(list.body, page) } : list)
    },
  )

  app.get(
    '/chats/:platform/:platformId/:destination/unread',
    {
      exposeHeadRoute: false,
      config: { scope: 'messages:read', operation: getUnreadMessages },
      schema: {
        operationId: 'listUnreadMessages',
        summary: 'The unread messages of a conversation (may mark them as read)',
        description:
          'Not a safe read: Afilnet may mark the messages that it returns as read. The gateway never shares or keeps the answer, never repeats the call, and finishes it even if the caller leaves.',
        tags: ['Chats'],
        params: ChatParams,
        response: { 200: Messages },
      },
    },
    async ({ params, call, caller }, reply) => {
      reply.header('cache-control', 'no-store')
      const { body } = await call.account.read(getUnreadMessages, chatOf(params), call, caller.chats)
      return sendList(reply, { body })
    },
  )

  app.post(
    '/chats/:platform/:platformId/:destination/messages',
    {
      config: { scope: 'messages:send', operation: sendMessage, errors: ledgerErrors },
      schema: {
        operationId: 'sendMessage',
        summary: 'Send a text to a conversation',
        description: sendDescription('a text'),
        tags: ['Sends'],
        params: ChatParams,
        headers: SendHeaders,
        body: ref(NewMessage),
        response: sendAnswers(sendExample),
      },
    },
    (request, reply) => {
      const { params, body, call } = request
      const message = { ...chatOf(params), message: body.message }
      const attempt = call.account.prepareSend(sendMessage, message, call)
      return postSend('message', request, reply, { attempt, params: message, body }, route)
    },
  )
}

export const chatOf = ({ platform, platformId, destination }: ChatParams) => ({ platform, platformid: platformId, destination })
