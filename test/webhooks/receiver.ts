import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

export const secret = `whsec_${Buffer.from('fake-webhook-secret-for-tests-01').toString('base64')}`

/** One post as the receiver saw it; its signature has been verified. */
export type Post = {
  id: string
  event: { id: string; type: string; messageId: string | null; reason?: string }
  headers: IncomingMessage['headers']
}

/** How a receiver answers: a status, or by itself. */
type Answer = number | ((response: ServerResponse, post: Post) => void)

/** A receiver on loopback that verifies what it gets. */
export async function startReceiver() {
  const posts: Post[] = []
  let open = 0
  const receiver = {
    url: '',
    /** What it verifies with. */
    secret,
    posts,
    /** The most that were open at a time, and whether two of one conversation were. */
    mostOpen: 0,
    /** What the receiver has taken: the ids of messages. */
    taken: [] as (string | null)[],
    answer: ((_post: Post) => 204) as (post: Post) => Answer,
    async close() {
      server.closeAllConnections()
      server.close()
    },
  }
  const server = createServer(async (request, response) => {
    open++
    receiver.mostOpen = Math.max(receiver.mostOpen, open)
    response.on('close', () => open--)
    const body = await text(request)
    const id = String(request.headers['webhook-id'])
    const at = new Date(Number(request.headers['webhook-timestamp']) * 1_000) // the test's clock, which `verify` would not accept
    const signatures = String(request.headers['webhook-signature']).split(' ')
    if (!signatures.includes(new Webhook(receiver.secret).sign(id, at, body))) throw new Error('The signature is wrong')
    const event = JSON.parse(body) as Post['event'] // as the reader below writes it
    const post = { id, event, headers: request.headers }
    posts.push(post)
    const answer = receiver.answer(post)
    if (typeof answer === 'function') return answer(response, post)
    if (answer < 300) receiver.taken.push(event.messageId)
    response.writeHead(answer).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=fake`
  return receiver
}
