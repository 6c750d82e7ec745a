import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { createClient } from '../../client/src/client.ts'
import { createOutbox } from '../../examples/inbox/page/outbox.ts'
import { canaries, sharedTest as test } from '../gateway.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }

/** A proxy that passes on all but forms; gives the client of an outbox behind it. */
async function clientBehindProxy(gatewayUrl: string, refuse: (response: ServerResponse) => unknown) {
  const proxy = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    const { authorization = '', 'content-type': type = '', 'idempotency-key': key = '' } = request.headers
    if (type.startsWith('multipart/')) return refuse(response)
    const headers = { authorization, ...(type && { 'content-type': type, 'idempotency-key': String(key) }) }
    const { method = 'GET', url } = request
    const answer = await fetch(`${gatewayUrl}${url}`, { method, headers, ...(method === 'POST' && { body }) })
    return response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  onTestFinished(() => proxy.closeAllConnections())
  onTestFinished(() => void proxy.close())
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const baseUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  return async () => createClient({ baseUrl, key: canaries.key })
}

test.for<[string, (response: ServerResponse) => unknown]>([
  ['says so', response => response.writeHead(413, { 'content-type': 'text/html' }).end('<html>Too large</html>')],
  ['says so to no page of another origin', response => response.destroy()], // so it looks to the page
])('A file that is too large for a proxy, which %s, holds up no message behind it', async ([, refuse], { gateway, sandbox }) => {
  const outbox = createOutbox(chat, await clientBehindProxy(gateway.url, refuse), () => void setImmediate(() => outbox.resume()))

  void outbox.add('', new File(['large'], 'large.txt'), new Set())
  await outbox.add('Hello', undefined, new Set())

  expect(outbox.all.map(({ state }) => state)).toEqual(['unknown', 'accepted'])
  expect(sandbox.sent.map(({ message }) => message)).toEqual(['Hello'])
})

test('A message shows at once, also while the one before it has no answer', async ({ gateway, sandbox }) => {
  const connection = Promise.withResolvers<ReturnType<typeof createClient>>()
  const shown: string[] = []
  const outbox = createOutbox(
    chat,
    () => connection.promise,
    ({ text }) => shown.push(text),
  )

  void outbox.add('First', undefined, new Set())
  const second = outbox.add('Second', undefined, new Set())

  expect(shown).toContain('Second')
  connection.resolve(createClient({ baseUrl: gateway.url, key: canaries.key }))
  await second
  expect(sandbox.sent.map(({ message }) => message)).toEqual(['First', 'Second'])
})
