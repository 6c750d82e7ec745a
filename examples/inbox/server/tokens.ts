import type { Client } from '../../../client/src/client.ts'

const scopes = ['messages:read', 'messages:send', 'files:send', 'events:read'] as const

/** A token for the conversation that a page has open. Decide here which conversations this person may open. */
export function issueToken(gateway: Client, actor: string, body: unknown) {
  const { platform, platformId, destination } = (body ?? {}) as Record<string, string> // the gateway checks them
  const chat = { platform: String(platform), platformId: String(platformId), destination: String(destination) }
  return gateway.post('/tokens', { body: { chat, scopes: [...scopes], ttlSeconds: 900, actor } })
}
