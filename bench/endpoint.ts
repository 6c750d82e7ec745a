import { hash } from 'node:crypto'
import { account } from './answers.ts'

/** One thing that a caller wants: the messages of a conversation, or one more in it; `more` is in the body of a send. */
export type Ask = { destination: string; send?: true; more?: { message?: string; sendAt?: string } }

/** Where requests go: to a target, or directly to the stub in Afilnet's own format. */
export type Endpoint = { url: URL; direct: boolean }

export const key = 'fake_bench_key_0123456789abcdefghijklmnopqrstuvw'
export const keySha256 = hash('sha256', key)
export const text = 'Hello, your order 4711 is on its way and will be there at noon'

export type Request = { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body: string }

/** What a caller sends. `@KEY@` stands for a number of its own on each request. */
export function requestFor({ destination, send, more }: Ask, { url, direct }: Endpoint): Request {
  const chat = { platform: 'whatsapp', platformid: '100', destination }
  if (direct) {
    const form = { class: 'chat', method: send ? 'sendmessage' : 'getmessages', ...account, ...chat, ...(send && { message: text }) }
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return { method: 'POST', path: url.pathname, headers, body: new URLSearchParams(form).toString() }
  }
  const path = `/chats/whatsapp/100/${destination}/messages`
  const headers = { authorization: `Bearer ${key}` }
  if (!send) return { method: 'GET', path, headers, body: '' }
  return {
    method: 'POST',
    path,
    headers: { ...headers, 'content-type': 'application/json', 'idempotency-key': '@KEY@' },
    body: JSON.stringify({ message: text, ...more }),
  }
}
