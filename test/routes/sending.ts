import { expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { Reply, TestGateway } from '../gateway.ts'

export const chat = '/chats/whatsapp/100/34600000000'
export const hello = { message: 'Hello' }
export type Page = { items: { id: string }[]; nextCursor?: string }

export const keyed = { 'idempotency-key': 'order-4711' }
export const other = { key: 'fake-other-key-0123456789' }
export const brief = { AFILNET_TIMEOUT_MS: '300' }

export const say = (gateway: TestGateway, headers: Record<string, string> = keyed, body: unknown = hello, to = chat) =>
  gateway.post(`${to}/messages`, body, headers)
export const sayAs = (gateway: TestGateway, key: string, headers: Record<string, string> = keyed) =>
  gateway.request(`${chat}/messages`, {
    method: 'POST',
    key,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(hello),
  })
export const list = async (gateway: TestGateway, query = '') => (await gateway.get(`/sends${query}`)).json.items
export const error = (code: string) => JSON.stringify({ status: 'ERROR', error: code })
/** What must be the same in a replay. */
export const lasting = ({ status, text, headers }: Reply) => ({ status, text, location: headers.location, type: headers['content-type'] })
export const replayOf = (first: Reply) => ({ ...lasting(first), replayed: 'true' })
export const replay = (reply: Reply) => ({ ...lasting(reply), replayed: reply.headers['idempotency-replayed'] })

export const settled = (gateway: TestGateway, id: string, state: string) =>
  expect.poll(async () => (await gateway.get(`/sends/${id}`)).json.state).toBe(state)
export const answered = (sandbox: Sandbox) => sandbox.until(({ calls }) => calls[0]?.answer !== undefined)
