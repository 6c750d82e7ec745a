import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { createClient } from '../../client/src/client.ts'
import { type InboxOptions, startInbox } from '../../examples/inbox/server/inbox.ts'
import { canaries, sharedTest as test } from '../gateway.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }

async function open(gatewayUrl: string, options: Partial<InboxOptions> = {}) {
  const inbox = await startInbox({ key: canaries.key, ...options })
  onTestFinished(() => inbox.close())
  await inbox.connect(gatewayUrl)
  return inbox
}

/** An inbox in front of a gateway whose stream of events is the test's. */
async function withStream() {
  const { promise: opened, resolve: listen } = Promise.withResolvers<ServerResponse>()
  const gateway = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n')
    listen(response)
  })
  onTestFinished(() => gateway.closeAllConnections())
  onTestFinished(() => void gateway.close())
  await once(gateway.listen(0, '127.0.0.1'), 'listening')
  const inbox = await open(`http://127.0.0.1:${(gateway.address() as AddressInfo).port}`) // a listening TCP server has a port
  return { inbox, stream: await opened }
}

/** What a page gets, until it gets this event. */
async function visit({ url }: { url: string }, until: string, last?: string) {
  const { body } = await fetch(`${url}/api/events`, { headers: last ? { 'last-event-id': last } : {} })
  const read = async () => {
    let text = ''
    for await (const chunk of body ?? []) {
      text += Buffer.from(chunk).toString()
      if (text.includes(`id: ${until}\n`)) break
    }
    return text.match(/(?<=id: )\w+|reset/g)
  }
  return { seen: read() }
}

test('A page that comes back gets what it missed, once, or reads again; the stream ends with the inbox', async () => {
  const { inbox, stream } = await withStream()
  const say = (from: number, to: number) => {
    for (let n = from; n <= to; n++) stream.write(`id: e${n}\ndata: {"id":"e${n}"}\n\n`)
  }
  const first = await visit(inbox, 'e1002')
  say(1, 1_002)
  expect(await first.seen).toHaveLength(1_002)
  const pages = await Promise.all([undefined, 'e1000', 'e3', 'e2'].map(last => visit(inbox, 'e1003', last)))
  say(1_003, 1_003)
  const [fresh, back, oldest, late] = await Promise.all(pages.map(({ seen }) => seen))

  expect([fresh, back, late]).toEqual([['e1003'], ['e1001', 'e1002', 'e1003'], ['reset', 'e1003']])
  expect(oldest).toHaveLength(1_000)
  const ended = once(stream, 'close')
  await inbox.close()
  await ended
})

test('A page that comes back behind long messages reads again, too', async () => {
  const { inbox, stream } = await withStream()
  const say = (n: number, text: string) => stream.write(`id: e${n}\ndata: {"id":"e${n}","text":"${text}"}\n\n`)

  const first = await visit(inbox, 'e6')
  for (let n = 1; n <= 6; n++) say(n, 'x'.repeat(1_000_000))
  expect(await first.seen).toHaveLength(6)
  const pages = await Promise.all(['e3', 'e2'].map(last => visit(inbox, 'e7', last)))
  say(7, '')

  expect(await Promise.all(pages.map(({ seen }) => seen))).toEqual([
    ['e4', 'e5', 'e6', 'e7'],
    ['reset', 'e7'],
  ])
})

test('A page that does not read is left, and the others go on', async () => {
  const { inbox, stream } = await withStream()
  const join = async () => (await once(get(`${inbox.url}/api/events`), 'response'))[0] as IncomingMessage
  const [idle, page] = [await join(), (await join()).setEncoding('utf8')]
  const lost = once(idle, 'error')

  const text = 'x'.repeat(100_000)
  const write = (n: number) => stream.write(`id: e${n}\ndata: {"id":"e${n}","text":"${text}"}\n\n`)
  let n = 1
  let seen = ''
  write(n)
  for await (const chunk of page) {
    seen = `${seen}${chunk}`.slice(-200_000)
    if (!seen.includes(`id: e${n}\n`)) continue
    if (n === 300) break
    write(++n) // one at a time, so that little waits for a page that reads, however slowly
  }

  idle.resume()
  expect((await lost)[0]).toMatchObject({ message: 'aborted' })
})

test('A token is for one conversation, and names the person who asked', async ({ gateway }) => {
  const inbox = await open(gateway.url, { actorOf: ({ headers }) => headers['x-user']?.toString() })
  const ask = (body: string, headers: Record<string, string> = { 'x-user': 'ana' }) =>
    fetch(`${inbox.url}/api/tokens`, { method: 'POST', headers, body })

  const issued = await ask(JSON.stringify(chat))
  const { token, gatewayUrl } = (await issued.json()) as { token: string; gatewayUrl: string }
  const page = createClient({ baseUrl: gatewayUrl, key: token })
  const { id } = await page.send(chat, { message: 'Hello' })
  const send = await createClient({ baseUrl: gateway.url, key: canaries.key }).get('/sends/{id}', { params: { path: { id } } })

  expect([issued.status, issued.headers.get('cache-control')]).toEqual([201, 'no-store'])
  expect(send).toMatchObject({ actor: 'ana' })
  const elsewhere = page.send({ ...chat, destination: '34600000001' }, { message: 'Hello' })
  await expect(elsewhere).rejects.toMatchObject({ code: 'chat-not-allowed' })
  expect((await ask(JSON.stringify(chat), {})).status).toBe(401)
  const large = await ask(JSON.stringify({ ...chat, more: 'x'.repeat(10_000) }))
  expect([large.status, await large.json()]).toEqual([502, { code: 'inbox-failed', title: 'The inbox failed' }])
})

test('Another site may link to the inbox, and do no more; it has one name and one address', async ({ gateway }) => {
  const inbox = await open(gateway.url)
  const statusOf = async (method: string, site: string, target: string, path = '/') =>
    (await fetch(`${inbox.url}${path}`, { method, headers: { 'sec-fetch-site': site, 'sec-fetch-dest': target } })).status

  expect(await statusOf('GET', 'same-origin', 'empty', '/api/conversations')).toBe(200)
  expect(await statusOf('GET', 'cross-site', 'document')).toBe(200)
  expect(await statusOf('POST', 'cross-site', 'document', '/api/tokens')).toBe(403)
  expect(await statusOf('GET', 'cross-site', 'iframe')).toBe(403)
  expect(await statusOf('POST', 'same-origin', 'document')).toBe(404)

  const { port } = new URL(inbox.url)
  const [otherName] = (await once(get(inbox.url, { headers: { host: `inbox.example.com:${port}` } }), 'response')) as [IncomingMessage]
  expect(otherName.resume().statusCode).toBe(403)
  await expect(fetch(`http://127.0.0.2:${port}`)).rejects.toThrow('fetch failed')

  const { headers } = await fetch(inbox.url, { method: 'HEAD' })
  expect(headers.get('content-security-policy')).toMatch(
    new RegExp(`^default-src 'none'; .*connect-src 'self' ${gateway.url};.*frame-ancestors 'none'$`),
  )
})

test('Says that the gateway is away', async () => {
  const inbox = await open('http://127.0.0.1:9')
  const list = await fetch(`${inbox.url}/api/conversations`)

  expect([list.status, await list.json()]).toEqual([502, { code: 'gateway-unreachable', title: 'The gateway cannot be reached' }])
})
