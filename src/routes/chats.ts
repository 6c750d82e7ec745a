import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { getChats } from '../afilnet/operations.ts'
import { asksForPage, ChatPageQuery, pageOf, readLimit, sendList } from './lists.ts'
import { Messages } from './messages.ts'
import { ChannelParams } from './params.ts'

const cursorsOnly = { messageIds: false }

export const chats: FastifyPluginAsyncTypebox = async app => {
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
        querystring: ChatPageQuery,
        response: { 200: Messages },
      },
      preValidation: readLimit,
    },
    async ({ params, query, call, caller }, reply) => {
      const { platform, platformId } = params
      const isPage = asksForPage(query, cursorsOnly)
      const list = await call.account.read(getChats, { platform, platformid: platformId }, call, caller?.chats)
      return sendList(reply, isPage ? { body: pageOf(list.body, query, cursorsOnly) } : list)
    },
  )
}
