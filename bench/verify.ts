import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Pool } from 'undici'
import { destinations, messagesOf } from './answers.ts'
import { type Ask, type Endpoint, type Request, requestFor } from './endpoint.ts'
import type { Target } from './targets.ts'

type Reply = { status: number; headers: Record<string, string | string[] | undefined>; body: unknown }

const atOnce = 64

/** Asks so many times, 64 at once, and holds every answer to what the stub has said, whole; gives what is wrong, each once. */
export async function verify({ headers }: Target, endpoint: Endpoint, asks: readonly Ask[], count: number): Promise<string[]> {
  return withPool(endpoint, async send => {
    const mistakes = new Set<string>()
    let next = 0
    const worker = async () => {
      for (let turn = next++; turn < count; turn = next++) {
        const ask = asks[turn % asks.length]
        if (!ask) return
        for (const mistake of mistakesIn(ask, await send(requestFor(ask, endpoint)), headers)) mistakes.add(mistake)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    return [...mistakes]
  })
}

function mistakesIn(ask: Ask, { status, headers, body }: Reply, promised: Target['headers']): string[] {
  const name = ask.send ? 'a send' : 'a list'
  const expected = ask.send ? 201 : 200
  if (status !== expected) return [`${name} was answered with ${status}`]
  const absent = promised?.[ask.send ? 'post' : 'get'].filter(header => headers[header] === undefined) ?? []
  return [
    ...absent.map(header => `${name} came without ${header}`),
    ...(/^application\/json(;|$)/.test(String(headers['content-type'])) ? [] : [`${name} came as ${headers['content-type']}`]),
    ...((ask.send ? isSend(ask, body) : isList(ask, body)) ? [] : [`${name} was not what Afilnet had said`]),
  ]
}

function isList({ destination }: Ask, body: unknown) {
  const { items } = body as { items?: { messageId?: unknown }[] } // compared whole below
  const stamp = String(items?.at(-1)?.messageId)
  return /^\d{12}$/.test(stamp) && isDeepStrictEqual(body, { items: messagesOf(destination, stamp) })
}

function isSend({ destination }: Ask, body: unknown) {
  const { kind, platform, platformId, destination: to, state } = body as Record<string, unknown> // any other shape fails the comparison
  const expected = { kind: 'message', platform: 'whatsapp', platformId: '100', destination, state: 'accepted' }
  return isDeepStrictEqual({ kind, platform, platformId, destination: to, state }, expected)
}

/** What is refused, and how: the same of every target. */
const refusals: [why: string, status: number, change: (get: Request, post: Request) => Request][] = [
  ['no key', 401, get => ({ ...get, headers: {} })],
  ['a wrong key', 401, get => ({ ...get, headers: { authorization: 'Bearer fake_bench_key_without_an_owner' } })],
  ['an unknown platform', 400, get => ({ ...get, path: get.path.replace('whatsapp', 'fax') })],
  ['a list of recipients', 400, get => ({ ...get, path: get.path.replace('/messages', ',34600000001/messages') })],
  ['an empty text', 400, (_, post) => ({ ...post, body: '{"message":""}' })],
  ['an unknown member', 400, (_, post) => ({ ...post, body: '{"message":"Hello","to":"34600000001"}' })],
  [
    'a conversation that Afilnet does not know',
    404,
    get => ({ ...get, path: get.path.replace(/\d+\/messages/, `${destinations('missing', 1)}/messages`) }),
  ],
]

/** Holds a target to the contract's refusals; gives what is wrong. */
export async function verifyRefusals(endpoint: Endpoint): Promise<string[]> {
  const [destination = ''] = destinations('steady', 1)
  const [get, post] = [requestFor({ destination }, endpoint), requestFor({ destination, send: true }, endpoint)]
  return withPool(endpoint, async send => {
    const replies = await Promise.all(refusals.map(([, , change]) => send(change(get, post))))
    return refusals.flatMap(([why, status], i) =>
      replies[i]?.status === status ? [] : [`${why} was answered with ${replies[i]?.status}, not ${status}`],
    )
  })
}

/** Lends a way to send requests, over as many connections as there are at once. */
export async function withPool<T>({ url }: Endpoint, use: (send: (request: Request) => Promise<Reply>) => Promise<T>): Promise<T> {
  const pool = new Pool(url.origin, { connections: atOnce })
  try {
    return await use(async request => {
      const headers = Object.fromEntries(
        Object.entries(request.headers).map(([name, value]) => [name, value.replace('@KEY@', randomUUID())]),
      )
      const { statusCode, headers: got, body } = await pool.request({ ...request, headers, body: request.body || null })
      const text = await body.text()
      return { status: statusCode, headers: got, body: parse(text) }
    })
  } finally {
    await pool.close()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}
