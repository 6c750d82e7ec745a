import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { getChatChannels } from '../afilnet/operations.ts'
import { sendList } from './lists.ts'
import { AnsweredPlatform, Nullable, ref } from './params.ts'

/** One of the account's numbers, bots or widgets. */
export const Channel = Type.Object(
  {
    platform: AnsweredPlatform,
    platformId: Type.String({ description: 'Names the channel on its platform', examples: ['100'] }),
    name: Nullable({ examples: ['Support'] }),
  },
  { $id: 'Channel', examples: [{ platform: 'whatsapp', platformId: '100', name: 'Support' }] },
)

/** The channels of an account. */
export const ChannelList = Type.Object({ items: Type.Array(ref(Channel)) }, { $id: 'ChannelList' })

export const channels: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/channels',
    {
      config: { scope: 'channels:read', operation: getChatChannels, revalidate: true },
      schema: {
        operationId: 'listChannels',
        summary: 'Channels of the account that the key may reach',
        description:
          'Lists the numbers, bots and widgets of the Afilnet account behind your key. Start here: `platform` and `platformId` of a channel are the path of its conversations.',
        tags: ['Chats'],
        response: { 200: ref(ChannelList) },
      },
    },
    async ({ call, caller }, reply) => sendList(reply, await call.account.read(getChatChannels, {}, call, caller.chats)),
  )
}
