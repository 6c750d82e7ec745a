import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { type ChatLimit, scopes, tokenRequestsPerMinute } from '../access.ts'
import { openWord } from '../lib/string-enum.ts'
import { AnsweredPlatform, ref } from './params.ts'

const AnsweredChat = { platform: AnsweredPlatform, platformId: Type.String(), destination: Type.String() }

/** A caller as it sees itself. */
export type Me = Static<typeof Me>
export const Me = Type.Object(
  {
    caller: Type.String({ description: 'The name of the caller that the key belongs to' }),
    account: Type.String({ description: 'The name of the Afilnet account that it uses' }),
    scopes: Type.Array(openWord(scopes, 'What the key may do.')),
    chats: Type.Optional(Type.Array(Type.String(), { description: 'The chats that it may touch, as patterns; absent: all' })),
    expires: Type.Optional(Type.String({ format: 'date-time', description: 'When its keys, or this token, stop working' })),
    actor: Type.Optional(Type.String({ description: 'Of a token: who uses it' })),
    chat: Type.Optional(Type.Object(AnsweredChat, { description: 'Of a token: its one conversation' })),
    rateLimit: Type.Optional(
      Type.Object({
        requestsPerMinute: Type.Optional(Type.Integer()),
        streams: Type.Optional(Type.Integer()),
        sendsPerDay: Type.Optional(Type.Integer({ description: 'A day of UTC; sends that were refused do not count' })),
      }),
    ),
  },
  {
    $id: 'Me',
    examples: [
      {
        caller: 'crm',
        account: 'main',
        scopes: ['messages:read', 'messages:send'],
        chats: ['whatsapp/100/*'],
        expires: '2027-01-31T00:00:00Z',
        rateLimit: { requestsPerMinute: 600, sendsPerDay: 1000 },
      },
    ],
  },
)

export const me: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/me',
    {
      config: { scope: 'any-key' },
      schema: {
        operationId: 'getMe',
        summary: 'What this key may do',
        description: 'Says to which caller and account your key belongs, and what it may do. Use it to test a key.',
        tags: ['Gateway'],
        response: { 200: ref(Me) },
      },
    },
    async ({ caller }, reply) => {
      const { name, account, scopes, chats, expires, rateLimit, token } = caller
      reply.header('cache-control', 'private, no-store')
      return {
        caller: name,
        account,
        scopes: [...scopes],
        ...(chats && { chats: chats.flatMap(patternsOf) }),
        ...(expires !== undefined && { expires }),
        ...(token && { actor: token.actor, chat: token.chat }),
        ...(token ? { rateLimit: tokenLimits(rateLimit) } : rateLimit && { rateLimit }),
      }
    },
  )
}

/** A chat as a pattern, unless that would mean others too. */
function patternsOf(chat: ChatLimit): string[] {
  if (typeof chat === 'string') return [chat]
  const names = [chat.platform, chat.platformId, chat.destination]
  return names.some(name => /[*/]/.test(name)) ? [] : [names.join('/')]
}

const tokenLimits = (issuers: Me['rateLimit']) => ({
  ...issuers,
  requestsPerMinute: Math.min(tokenRequestsPerMinute, issuers?.requestsPerMinute ?? tokenRequestsPerMinute),
})
