import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { getChats } from '../afilnet/operations.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { sendList } from './lists.ts'
import { Messages } from './messages.ts'
import { ChannelParams } from './params.ts'

export const chats: FastifyPluginAsyncTypebox<{ upstream: Upstream }> = async (app, { upstream }) => {
  app.get(
    '/chats/:platform/:platformId',
    {
      config: { scope: 'chats:read', operation: getChats, revalidate: true },
      schema: {
        operationId: 'listChats',
        summary: 'The last message of each conversation of a channel',
        description:
          'Lists the conversations of one channel, each by its latest message. `destination` of a message is the path of its conversation.',
        tags: ['Chats'],
        params: ChannelParams,
        response: { 200: Messages },
      },
    },
    async ({ params, call, caller }, reply) => {
      const { platform, platformId } = params
      return sendList(reply, await upstream.read(getChats, { platform, platformid: platformId }, call, caller?.chats))
    },
  )
}
