import { type Client, GatewayProblem } from '../../../client/src/client.ts'

/** Every conversation of every channel that can be listed, each with its last message; `unlisted` names the channels that the key may not list. */
export async function listConversations(gateway: Client) {
  const { items: channels } = await gateway.get('/channels')
  const unlisted: string[] = []
  const lists = await Promise.all(
    channels.map(async ({ platform, platformId, name }) => {
      const { items } = await gateway.get('/chats/{platform}/{platformId}', { params: { path: { platform, platformId } } }).catch(error => {
        const code = error instanceof GatewayProblem ? error.code : undefined
        if (code === 'chat-not-allowed') unlisted.push(`${platform}/${platformId}`)
        else if (code !== 'channel-not-found') throw error // it has just gone
        return { items: [] }
      })
      return items.map(last => ({ platform, platformId, channel: name, destination: last.destination, last }))
    }),
  )
  return { items: lists.flat(), unlisted }
}
