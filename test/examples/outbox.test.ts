import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { type Client, createClient } from '../../client/src/client.ts'
import { createOutbox, type Outgoing } from '../../examples/inbox/page/outbox.ts'
import { canaries, sharedTest as test } from '../gateway.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const outboxOf = (client: Client, onChange: (changed: Outgoing) => void = () => {}) => createOutbox(chat, async () => client, onChange)

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

const problem = (status: number, code: string, retry: string, more = {}) =>
  new Response(JSON.stringify({ status, code, title: code, outcome: 'not_applied', retry, ...more }), {
    status,
    headers: { 'content-type': 'application/problem+json', 'retry-after': '0' },
  })
const sent = (state: string) => new Response(JSON.stringify({ state }), { status: 201, headers: { 'content-type': 'application/json' } })
const lost = () => new Response('', { status: 502, headers: { 'retry-after': '0' } })
const draining = () => problem(503, 'draining', 'yes')
const row = { sendId: 'id' }

test.for<[string, (() => Response)[], Outgoing['state'][]]>([
  ['what Afilnet refused', [() => problem(422, 'destination-unroutable', 'no', row)], ['rejected']],
  ['what the gateway refused', [() => problem(403, 'chat-not-allowed', 'no')], ['not_sent']],
  ['what the operator must fix first', [() => problem(502, 'upstream-credentials-rejected', 'no', row)], ['not_sent']],
  ['what a proxy refuses', [() => new Response('', { status: 413 })], ['unknown']],
  ['what still runs', [() => sent('pending')], ['unknown']],
  ['what is refused after an answer was lost', [lost, () => problem(403, 'chat-not-allowed', 'no')], ['unknown']],
  [
    'what is refused after two answers were lost',
    [lost, lost, () => problem(403, 'chat-not-allowed', 'no')],
    ['waiting', 'sending', 'unknown'],
  ],
  [
    'what the ledger says after two answers were lost',
    [lost, lost, () => problem(422, 'destination-unroutable', 'no', row)],
    ['waiting', 'sending', 'rejected'],
  ],
  [
    'what a gateway that ends did not take',
    [...Array(6).fill(draining), () => sent('accepted')],
    ['waiting', 'sending', 'waiting', 'sending', 'waiting', 'sending', 'accepted'],
  ],
  [
    'what a token that ended did not open',
    [() => problem(401, 'unauthenticated', 'no'), () => sent('accepted')],
    ['waiting', 'sending', 'accepted'],
  ],
])('The page says of %s how it stands, and asks with one key', async ([, answers, states]) => {
  const keys: (string | null)[] = []
  const fetch = async (request: Request) => {
    keys.push(request.headers.get('idempotency-key'))
    return answers[keys.length - 1]?.() ?? sent('accepted')
  }
  const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
  const seen: string[] = []
  const onChange = ({ state }: Outgoing) => {
    seen.push(state)
    if (state === 'waiting') setImmediate(() => outbox.resume())
  }
  const outbox = outboxOf(client, onChange)

  await outbox.add('Hello', undefined, new Set())

  expect(seen).toEqual(['sending', 'sending', ...states])
  expect(keys).toHaveLength(answers.length)
  expect(new Set(keys)).toEqual(new Set([outbox.all[0]?.key]))
  expect(keys[0]).toMatch(/^[\da-f]{32}$/)
})

test('A file is tried again once its gateway can be reached, and what was written after it waits', async () => {
  const answers = [lost, lost]
  const fetch = async () => (answers.shift() ?? (() => sent('accepted')))()
  const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
  const seen: string[] = []
  const onChange = ({ text, state }: Outgoing) => {
    seen.push(`${text} ${state}`)
    if (text === 'Second' && state === 'waiting') setImmediate(() => outbox.resume())
  }
  const outbox = outboxOf(client, onChange)

  void outbox.add('First', new File(['x'], 'x.txt'), new Set())
  await outbox.add('Second', undefined, new Set())

  expect(seen.slice(2)).toEqual([
    ...['First sending', 'First waiting', 'Second waiting'],
    ...['First sending', 'First accepted', 'Second sending', 'Second accepted'],
  ])
})

test('A file that has gone is not sent, or perhaps was where an answer had been lost', async () => {
  const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: async () => sent('accepted') })
  const outbox = outboxOf(client)
  const gone = Object.assign(new File(['x'], 'x.txt'), {
    slice: () => {
      throw new DOMException('gone', 'NotFoundError')
    },
  })

  await outbox.add('', gone, new Set())
  const [first = expect.fail()] = outbox.all
  const before = first.state
  first.inDoubt = true
  await outbox.checkAgain(first)

  expect([before, first.state]).toEqual(['not_sent', 'unknown'])
})

test('What the gateway learns of a send is shown, and only what is accepted is forgotten', async () => {
  const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: async () => sent('accepted') })
  const outbox = outboxOf(client)
  for (const text of ['one', 'two']) await outbox.add(text, undefined, new Set())
  const [{ key: idempotencyKey } = expect.fail()] = outbox.all
  const send = { idempotencyKey, state: 'rejected', problem: { title: 'No', detail: 'Refused' } } as NonNullable<Outgoing['send']>

  outbox.learn({ ...send, state: 'pending' })
  expect(outbox.all.map(({ state }) => state)).toEqual(['accepted', 'accepted'])
  outbox.learn(send)
  outbox.forgetAccepted()

  expect(outbox.all).toMatchObject([{ text: 'one', state: 'rejected', reason: 'Refused' }])
})
