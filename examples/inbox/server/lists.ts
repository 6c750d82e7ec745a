import { type Client, GatewayProblem } from '../../../client/src/client.ts'

/** Of a channel that the key may use for some recipients only, or that has just gone. */
const unlisted = new Set(['chat-not-allowed', 'channel-not-found'])

/** Every conversation of every channel that can be listed, each with its last message. */
export async function listConversations(gateway: Client) {
  const { items: channels } = await gateway.get('/channels')
  const lists = await Promise.all(
    channels.map(async ({ platform, platformId, name }) => {
      const { items } = await gateway.get('/chats/{platform}/{platformId}', { params: { path: { platform, platformId } } }).catch(error => {
        if (error instanceof GatewayProblem && unlisted.has(error.code)) return { items: [] }
        throw error
      })
      return items.map(last => ({ platform, platformId, channel: name, destination: last.destination, last }))
    }),
  )
  return { items: lists.flat() }
}
