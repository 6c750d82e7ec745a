import { describe, expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { answerTo, call, chat, open, post, raw, test } from './client.ts'

type Row = Record<string, unknown>
const json = { 'content-type': 'application/json' }
const ask = (sandbox: Sandbox, method: string, path: string, body?: unknown, headers: Record<string, string> = json) =>
  fetch(sandbox.controlUrl + path, {
    method,
    ...(body !== undefined && { headers, body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
const send = (sandbox: Sandbox) => call(sandbox, 'sendmessage', { ...chat, message: 'Hello' })

describe('the control surface', () => {
  test('lists itself', async ({ sandbox }) => {
    const listed = (await (await ask(sandbox, 'GET', '/')).json()) as { request: string }[]

    expect(listed.map(({ request }) => request)).toEqual([
      'GET /',
      'GET /calls',
      'DELETE /calls',
      'GET /sent',
      'POST /answers',
      'PUT /shape',
      'GET /tokens',
      'PUT /tokens',
      'DELETE /tokens',
      'PUT /latency',
      'GET /messages',
      'POST /messages',
      'DELETE /messages',
      'PUT /status',
      'POST /conversations',
      'PUT /customers',
      'POST /channels',
      'DELETE /channels',
      'POST /accounts',
      'POST /reset',
    ])
  })

  test('shows calls and what was sent, and forgets the calls', async ({ sandbox }) => {
    await post(sandbox, send(sandbox))

    expect(await (await ask(sandbox, 'GET', '/calls')).json()).toEqual(sandbox.calls)
    expect(await (await ask(sandbox, 'GET', '/sent')).json()).toEqual(sandbox.sent)
    expect((await ask(sandbox, 'DELETE', '/calls')).status).toBe(204)
    expect(sandbox.calls).toEqual([])
    expect(sandbox.sent).toHaveLength(1)
  })

  test('forgets the oldest calls when many had long answers', async ({ sandbox }) => {
    await ask(sandbox, 'POST', '/answers', { body: 'x'.repeat(5_000_000), times: 11 })
    for (let n = 1; n <= 11; n++) await (await post(sandbox, send(sandbox))).arrayBuffer()

    const left = (await (await ask(sandbox, 'GET', '/calls')).json()) as { id: number }[]
    expect(left.map(({ id }) => id)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11])
  })

  test('queues answers, as text and as bytes', async ({ sandbox }) => {
    await ask(sandbox, 'POST', '/answers', { status: 503, headers: { 'retry-after': '7' }, body: 'later', times: 1 })
    await ask(sandbox, 'POST', '/answers', { method: 'sendmessage', bodyBase64: '/w==' })
    const [first, second] = [await post(sandbox, send(sandbox)), await post(sandbox, send(sandbox))]

    expect([first.status, await first.text(), first.headers.get('retry-after')]).toEqual([503, 'later', '7'])
    expect(new Uint8Array(await second.arrayBuffer())).toEqual(Uint8Array.of(0xff))
  })

  test('queues faults', async ({ sandbox }) => {
    await ask(sandbox, 'POST', '/answers', { fault: 'silent' })
    const silent = open(sandbox, send(sandbox))
    await sandbox.called(1)
    silent.destroy()

    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('sets shape and latency, lets a customer write, and resets', async ({ sandbox }) => {
    expect(await (await ask(sandbox, 'PUT', '/shape', { status: 'lower' })).json()).toMatchObject({ status: 'lower', list: 'array' })
    expect(await (await ask(sandbox, 'PUT', '/latency', { ms: 3 })).json()).toEqual({ ms: 3 })
    expect((await ask(sandbox, 'POST', '/messages', { ...chat, message: 'Hello?' })).status).toBe(204)
    expect(sandbox.latencyMs).toBe(3)
    const unread = await answerTo(sandbox, call(sandbox, 'getunreadmessages', chat))
    expect(unread.status).toBe('success')
    expect(unread.result.list.at(-1)).toMatchObject({ message: 'Hello?' })

    expect((await ask(sandbox, 'POST', '/reset')).status).toBe(204)
    expect(sandbox).toMatchObject({ calls: [], latencyMs: 0 })
  })
})

describe('the control surface of an account', () => {
  const other = 'other@sandbox.invalid'

  test('scripts a conversation: messages, their status, an answer, the end', async ({ sandbox }) => {
    await ask(sandbox, 'PUT', '/customers', { ...chat, replyAfterMs: 1, texts: ['Answer {n}'] })
    await ask(sandbox, 'POST', '/messages', { ...chat, message: 'Ours', sent: true, datetime: '2026-01-31 00:00:00' })
    await post(sandbox, send(sandbox))
    await sandbox.until(({ messages }) => messages().some(({ message }) => message === 'Answer 1'))
    const held = (await (await ask(sandbox, 'GET', '/messages')).json()) as Row[]
    const ours = held.find(({ message }) => message === 'Ours')
    await ask(sandbox, 'PUT', '/status', { ...chat, messageid: ours?.messageid, status: 'read' })

    expect(held).toEqual(expect.arrayContaining([expect.objectContaining({ ...chat, message: 'Answer 1', sent: false })]))
    expect(ours).toMatchObject({ sent: true, status: 'sent', datetime: '2026-01-31 00:00:00' })
    expect(sandbox.messages()).toContainEqual({ ...ours, status: 'read' })
    expect((await ask(sandbox, 'PUT', '/status', { ...chat, messageid: '1', status: 'read' })).status).toBe(404)

    await ask(sandbox, 'DELETE', '/messages', { ...chat, messageid: ours?.messageid })
    const left = sandbox.messages().map(({ message }) => message)
    expect([left.includes('Ours'), left.includes('Answer 1')]).toEqual([false, true])
    await ask(sandbox, 'DELETE', '/messages', chat)
    expect(await answerTo(sandbox, call(sandbox, 'getmessages', chat))).toMatchObject({ error: 'CHAT_NOT_FOUND' })
  })

  test('fills a channel that was added', async ({ sandbox }) => {
    const channel = { platform: 'whatsapp', platformid: '101' }
    await ask(sandbox, 'POST', '/channels', { ...channel, name: 'Second' })
    await ask(sandbox, 'POST', '/conversations', { ...channel, conversations: 10_000, messages: 1 })

    expect((await answerTo(sandbox, call(sandbox, 'getchats', channel))).result.list).toHaveLength(10_000)

    await ask(sandbox, 'DELETE', '/channels', channel)
    expect(await answerTo(sandbox, call(sandbox, 'getchats', channel))).toMatchObject({ error: 'CHANNEL_NOT_FOUND' })
  })

  test('leaves other accounts alone', async ({ sandbox }) => {
    expect((await ask(sandbox, 'GET', `/messages?account=${other}`)).status).toBe(404)
    await ask(sandbox, 'POST', '/accounts', { user: other })
    await ask(sandbox, 'PUT', `/shape?account=${other}`, { status: 'lower' })
    await ask(sandbox, 'POST', `/messages?account=${other}`, { ...chat, message: 'For the other one' })
    const its = await answerTo(sandbox, { ...call(sandbox, 'getmessages', chat), user: other })
    const first = await answerTo(sandbox, call(sandbox, 'getmessages', chat))

    expect([its.status, its.result.list.at(-1)?.message]).toEqual(['success', 'For the other one'])
    expect([first.status, first.result.list.at(-1)?.message]).toEqual(['SUCCESS', 'I can come at seven'])
  })
})

describe('bad input', () => {
  test.for([
    [
      'POST',
      '/answers',
      { fault: 'nonsense', times: 0, canary: 1 },
      ['fault: expected one of silent', 'times: expected', 'unknown property'],
    ],
    ['POST', '/answers', { headers: { 'x-a': 'b\nc' }, status: 199 }, ['headers: expected', 'status: expected']],
    ['POST', '/answers', { headers: { 'x-a': 1 }, bodyBase64: 'é' }, ['headers: expected', 'bodyBase64: expected']],
    ['POST', '/answers', undefined, ['a JSON object with times']],
    ['POST', '/answers', '{', ['JSON']],
    ['PUT', '/shape', { list: 'tree', omit: 'sent' }, ['list: expected one of array', 'omit: expected an array']],
    ['PUT', '/latency', { ms: -1 }, ['ms: expected']],
    ['PUT', '/latency', {}, ['ms: required']],
    ['PUT', '/latency', [], ['JSON object']],
    ['PUT', '/latency', { ms: 1, constructor: 1 }, ['unknown property']],
    ['PUT', '/customers', { texts: ['Hello', 1] }, ['texts: expected an array of strings']],
    ['POST', '/messages', { ...chat }, ['message: required']],
    ['POST', '/conversations', { ...chat, conversations: 'many' }, ['conversations: expected an integer', 'unknown property']],
    ['POST', '/conversations', { platform: 'whatsapp', platformid: '100' }, ['conversations: required']],
    ['POST', '/conversations', { platform: 'whatsapp', platformid: '9', conversations: 1 }, ['whatsapp/100']],
    ['PUT', '/customers', { destination: '1' }, ['platform: required']],
    ['POST', '/messages', { ...chat, platformid: '9', message: 'x' }, ['whatsapp/100']],
  ] as const)('%s %s %j gets 400 with what was expected', async ([method, path, body, reported], { sandbox }) => {
    const reply = await ask(sandbox, method, path, body)
    const { error } = (await reply.json()) as { error: string }

    expect(reply.status).toBe(400)
    for (const words of reported) expect(error).toContain(words)
    expect(error).not.toMatch(/nonsense|canary/)
  })

  test('of other kinds gets the status it deserves', async ({ sandbox }) => {
    expect((await ask(sandbox, 'GET', '/nothing')).status).toBe(404)
    expect((await ask(sandbox, 'GET', '/constructor')).status).toBe(404)
    expect((await ask(sandbox, 'PUT', '/latency', { ms: 1 }, { 'content-type': 'text/plain' })).status).toBe(415)
    const patched = await ask(sandbox, 'PATCH', '/calls')
    expect([patched.status, patched.headers.get('allow'), patched.headers.get('x-sandbox')]).toEqual([405, 'GET, DELETE', 'true'])
  })
})

describe('a foreign caller', () => {
  const get = (sandbox: Sandbox, head: string) => raw(sandbox.controlUrl, `GET /calls HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)

  test.for(['Host: evil.example\r\n', 'Host: 127.0.0.1.evil.example\r\n', '', 'Host: localhost\r\nOrigin: https://evil.example\r\n'])(
    'is refused: %j',
    async (head, { sandbox }) => {
      expect(await get(sandbox, head)).toMatch(/^HTTP\/1\.1 403 /)
    },
  )

  test.for(['localhost', 'LOCALHOST:4011', '127.0.0.1:4011', '127.8.8.8', '[::1]:4011'])('%s is none', async (host, { sandbox }) => {
    expect(await get(sandbox, `Host: ${host}\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
  })
})
