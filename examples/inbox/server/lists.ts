import type { Client } from '../../../client/src/client.ts'

/** Every conversation of every channel, each with its last message. */
export async function listConversations(gateway: Client) {
  const { items: channels } = await gateway.get('/channels')
  const lists = await Promise.all(
    channels.map(async ({ platform, platformId, name }) => {
      const { items } = await gateway.get('/chats/{platform}/{platformId}', { params: { path: { platform, platformId } } })
      return items.map(last => ({ platform, platformId, channel: name, destination: last.destination, last }))
    }),
  )
  return { items: lists.flat() }
}
