import { expect } from 'vitest'
import { canaries, type Reply, type TestGateway } from '../gateway.ts'

export const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
export const messages = '/chats/whatsapp/100/34600000000/messages'
export const next = '/chats/whatsapp/100/34600000001/messages'
export const everything = ['messages:read', 'messages:send', 'files:send']

/** Asks for a token for the chat, with all scopes. */
export const ask = (gateway: TestGateway, body: object = {}, key: string = canaries.key): Promise<Reply> =>
  gateway.request('/tokens', {
    method: 'POST',
    key,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ chat, scopes: everything, ...body }),
  })

/** A ledger that is busy for a moment is asked again. */
export async function issue(gateway: TestGateway, body: object = {}, key?: string): Promise<string> {
  let reply = await ask(gateway, body, key)
  for (let again = 0; reply.status === 503 && again < 40; again++) reply = await ask(gateway, body, key)
  expect(reply.status, reply.text).toBe(201)
  return reply.json.token
}

/** Sends a text with a token or a key. */
export const sayWith = (gateway: TestGateway, key: string, idempotencyKey: string, message = 'Hello', to = messages) =>
  gateway.request(to, {
    method: 'POST',
    key,
    headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
    body: JSON.stringify({ message }),
  })

/** The status of an answer, and its code if it is a problem. */
export const told = ({ status, json }: Reply) => [status, json?.code]
