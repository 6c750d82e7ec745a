import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { getChats } from '../afilnet/operations.ts'
import { askedPage, ChatPageQuery, pageOf, readLimit, sendList } from './lists.ts'
import { Messages } from './messages.ts'
import { ChannelParams } from './params.ts'

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
      const page = askedPage(query, { messageIds: false })
      const list = await call.account.read(getChats, { platform, platformid: platformId }, call, caller.chats)
      return sendList(reply, page ? { body: pageOf(list.body, page) } : list)
    },
  )
}
