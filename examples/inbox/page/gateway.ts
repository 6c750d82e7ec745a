import { type Chat, type Client, createClient } from '../../../client/src/client.ts'

/** A client of the gateway that reaches one conversation. Its token is fetched from the inbox's server, and again when it has expired. */
export function gatewayFor(chat: Chat): Promise<Client> {
  let issued = issue(chat)
  const key = async (refused: boolean) => {
    if (refused) issued = issue(chat)
    issued.catch(() => {
      issued = issue(chat)
    })
    return (await issued).token
  }
  return issued.then(({ gatewayUrl }) => createClient({ baseUrl: gatewayUrl, key }))
}

async function issue(chat: Chat): Promise<{ token: string; gatewayUrl: string }> {
  const { platform, platformId, destination } = chat
  const body = JSON.stringify({ platform, platformId, destination })
  const response = await fetch('/api/tokens', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (!response.ok) throw new TypeError(`The inbox gave no token: ${response.status}`) // as if the network had failed: it is worth another try
  return response.json()
}
