import { type Chat, type Client, createClient } from '../../../client/src/client.ts'

type Issued = { token: string; gatewayUrl: string }

/**
 * Clients of the gateway that reach one conversation. Their token is fetched from the inbox's server, and again when it has expired.
 *
 * Where no token comes, only that call fails: the next one asks again.
 */
export function gatewayFor(chat: Chat): () => Promise<Client> {
  let issued: Promise<Issued> | undefined
  const current = () => {
    issued ??= issue(chat)
    issued.catch(() => {
      issued = undefined
    })
    return issued
  }
  const key = async (refused: boolean) => {
    if (refused) issued = undefined
    return (await current()).token
  }
  return async () => createClient({ baseUrl: (await current()).gatewayUrl, key })
}

async function issue(chat: Chat): Promise<Issued> {
  const { platform, platformId, destination } = chat
  const body = JSON.stringify({ platform, platformId, destination })
  const response = await fetch('/api/tokens', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (!response.ok) throw new TypeError(`The inbox gave no token: ${response.status}`) // as if the network had failed: it is worth another try
  return response.json()
}
