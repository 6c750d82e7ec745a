import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { scopes } from '../config.ts'
import { Problem } from '../problem.ts'
import { oneOf } from '../schema.ts'

const Me = Type.Object(
  {
    caller: Type.String({ description: 'The name of the caller that the key belongs to' }),
    account: Type.String({ description: 'The name of the Afilnet account that it uses' }),
    scopes: Type.Array(oneOf(scopes)),
  },
  { examples: [{ caller: 'default', account: 'default', scopes: ['channels:read', 'messages:send'] }] },
)

export const me: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/me',
    {
      config: { scope: 'any-key' },
      schema: { operationId: 'getMe', summary: 'What this key may do', tags: ['Gateway'], response: { 200: Me } },
    },
    async ({ caller }, reply) => {
      if (!caller) throw new Problem('unauthenticated')
      reply.header('cache-control', 'private, no-store')
      return { caller: caller.name, account: caller.account, scopes: [...caller.scopes] }
    },
  )
}
