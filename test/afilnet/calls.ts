import type { Reply, TestGateway } from '../gateway.ts'

export const chat = '/chats/whatsapp/100/34600000000'

type Run = (gateway: TestGateway) => Promise<Reply>

/** How a caller of the gateway asks for each of Afilnet's six operations. */
export const calls = {
  getchatchannels: gateway => gateway.get('/channels'),
  getchats: gateway => gateway.get('/chats/whatsapp/100'),
  getmessages: gateway => gateway.get(`${chat}/messages`),
  getunreadmessages: gateway => gateway.get(`${chat}/unread`),
  sendmessage: gateway => gateway.post(`${chat}/messages`, { message: 'Hello' }),
  sendfile: gateway => gateway.post(`${chat}/files`, { type: 'image', fileUrl: 'https://example.com/menu.jpg' }),
} as const satisfies Record<string, Run>

export type Method = keyof typeof calls

/** What a safe read, `unread` and a send stand for where the operation makes no other difference. */
export const kinds = { read: 'getmessages', unread: 'getunreadmessages', send: 'sendmessage' } as const satisfies Record<string, Method>
