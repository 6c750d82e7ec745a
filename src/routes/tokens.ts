import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { allows, type Chat, destinationIssue, normalizeDestination, tokenScopes } from '../access.ts'
import { oneOf } from '../lib/string-enum.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { ChatParams, ref, text } from './params.ts'

const usualTtlS = 900

/** The body of `POST /tokens`. */
export type NewToken = Static<typeof NewToken>
export const NewToken = Type.Object(
  {
    chat: Type.Object(ChatParams.properties, { additionalProperties: false, description: 'The one conversation; `*` has no meaning here' }),
    scopes: Type.Array(oneOf(tokenScopes), { minItems: 1, maxItems: 10, description: 'Some of those that your key has' }),
    ttlSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: 3600, default: usualTtlS, description: 'How long it is valid' })),
    actor: Type.Optional(
      text({ maxLength: 64, description: 'Who uses it: printable characters, kept with each send and in the log', examples: ['alice'] }),
    ),
  },
  {
    $id: 'NewToken',
    additionalProperties: false,
    examples: [
      {
        chat: { platform: 'whatsapp', platformId: '100', destination: '34600000000' },
        scopes: ['messages:read', 'messages:send'],
        ttlSeconds: 900,
        actor: 'alice',
      },
    ],
  },
)

/** A token for one conversation. */
export const Token = Type.Object(
  { token: Type.String({ description: 'Use it like a key' }), expiresAt: Type.String({ format: 'date-time' }) },
  { $id: 'Token', examples: [{ token: 'eyJhbGciOiJIUzI1NiJ9.e30.fake', expiresAt: '2026-01-31T09:45:00.000Z' }] },
)

export const tokens: FastifyPluginAsyncTypebox<{ tokens: Pick<Tokens, 'issue'> }> = async (app, { tokens }) => {
  app.post(
    '/tokens',
    {
      config: { scope: 'tokens:issue', errors: ['chat-not-allowed', 'store-unavailable'] },
      schema: {
        operationId: 'issueToken',
        summary: 'A token for one conversation, for use in a browser',
        description:
          'Makes a token that reaches one conversation with some scopes of your key, for a short time. Your backend asks for it and gives it to a page, which never sees the key.',
        tags: ['Gateway'],
        body: ref(NewToken),
        response: { 201: { description: 'The token', content: { 'application/json': { schema: ref(Token) } } } },
      },
    },
    async ({ body, caller, headers }, reply) => {
      const keySha256 = app.digestOf(headers.authorization)
      if (keySha256 === undefined) throw new Problem('unauthenticated')
      const { ttlSeconds = usualTtlS, actor = '' } = body
      const chat = chatOf(body)
      if (/[\p{C}\p{Zl}\p{Zp}]/u.test(actor)) throw invalidBody('/actor', 'contains a character that cannot be printed')
      const missing = body.scopes.find(scope => !caller.scopes.has(scope))
      if (missing !== undefined)
        throw new Problem('insufficient-scope', { detail: `This key lacks the scope ${missing}, so its tokens cannot have it.` })
      if (!allows(caller.chats, chat.platform, chat.platformId, chat.destination)) throw new Problem('chat-not-allowed')

      const latest = caller.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(caller.expires)
      const expiresAt = Math.floor(Math.min(Date.now() + ttlSeconds * 1_000, latest) / 1_000) * 1_000
      const scopes = [...new Set(body.scopes)]
      const token = await tokens.issue({ account: caller.account, chat, scopes, actor, expiresAt }, keySha256)
      reply.code(201).header('cache-control', 'no-store')
      return { token, expiresAt: new Date(expiresAt).toISOString() }
    },
  )
}

/** The conversation, with the one name of its recipient. */
function chatOf({ chat: { platform, platformId, destination: written } }: NewToken): Chat {
  const destination = normalizeDestination(platform, written)
  const issue = destinationIssue(platform, destination, { sending: true })
  if (issue !== undefined) throw invalidBody('/chat/destination', issue)
  return { platform, platformId, destination }
}
