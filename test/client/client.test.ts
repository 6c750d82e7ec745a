import { getEventListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { describe, expect, onTestFinished, test as plain, vi } from 'vitest'
import { createClient, GatewayProblem } from '../../client/src/client.ts'
import { delayMs, wait } from '../../client/src/wait.ts'
import { canaries, sharedTest as test } from '../gateway.ts'
import { samples } from '../media/forms.ts'
import { canGenerate, clientTypes } from '../tools/client-types.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const hello = { message: 'Hello' }

/** What a rejected promise rejects with. */
const problemOf = async (call: Promise<unknown>) => {
  const problem = await call.then(
    () => undefined,
    error => error,
  )
  expect(problem).toBeInstanceOf(GatewayProblem)
  return problem as GatewayProblem
}

/** A network that does to each request in turn what it is told; after that it is the usual one. */
function network(...faults: ((request: Request) => Response | Promise<Response>)[]) {
  const keys: (string | null)[] = []
  return {
    keys,
    fetch: (request: Request) => {
      keys.push(request.headers.get('idempotency-key'))
      return Promise.resolve(faults.shift()?.(request) ?? fetch(request))
    },
  }
}
const loseAnswer = async (request: Request): Promise<Response> => {
  await fetch(request)
  throw new TypeError('fetch failed')
}
/** Hands the request on, and cuts off the body of the answer. */
const cutAnswer = async (request: Request): Promise<Response> => {
  const response = await fetch(request)
  const [byte] = new Uint8Array(await response.arrayBuffer())
  const cut = new ReadableStream({
    start: controller => controller.enqueue(Uint8Array.of(byte ?? 0)),
    pull: controller => controller.error(new TypeError('terminated')),
  })
  return new Response(cut, response)
}
/** A page of something else on the way: a login, say. */
const page = (body: string) => () => new Response(body, { headers: { 'content-type': 'text/html' } })
const answer = (status: number, body: object) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json', 'retry-after': '0' } })

describe('The client', () => {
  test('reads what the types promise', async ({ gateway }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })

    const { items } = await client.get('/channels')
    const [first] = items
    const chats = await client.get('/chats/{platform}/{platformId}', { params: { path: first ?? expect.fail('no channel') } })

    expect(items.map(({ platform }) => platform)).toContain('whatsapp')
    expect(chats.items.length).toBeGreaterThan(0)
  })

  test('throws a problem with what decides', async ({ gateway }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })

    const problem = await problemOf(client.get('/sends/{id}', { params: { path: { id: 'none' } } }))

    expect(problem).toMatchObject({ code: 'send-not-found', status: 404, outcome: 'not_applied', retry: 'no', retryAfterMs: undefined })
    expect(problem.body).toMatchObject({ requestId: expect.any(String), title: problem.title, detail: problem.message })
    expect(problem.name).toBe('GatewayProblem')
  })

  test('says that nothing answered, and what that means', async () => {
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: undefined })

    const reads = [await problemOf(client.get('/channels')), await problemOf(client.http.HEAD('/channels' as never))]
    const send = await problemOf(client.send(chat, hello, { attempts: 1 }))

    expect(reads).toMatchObject(Array(2).fill({ code: 'gateway-unreachable', outcome: 'not_applied', retry: 'yes' }))
    expect(send).toMatchObject({ code: 'gateway-unreachable', outcome: 'unknown', retry: 'same-key', idempotencyKey: expect.any(String) })
    expect(send.cause).toBeInstanceOf(TypeError) // with what Node says of it
  })

  test('takes whatever a fetch throws for no answer, and sends again', async ({ gateway, sandbox }) => {
    const lost = async (request: Request) => {
      await fetch(request)
      throw new Error('Network connection lost.') // of Cloudflare's workers; a package for requests has a class of its own
    }
    const { fetch: once, keys } = network(lost)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch: once })
    const retried: string[] = []

    const content = { ...hello, reference: undefined }
    const send = await client.send(chat, content, {
      signal: undefined,
      idempotencyKey: undefined,
      onRetry: ({ code }) => retried.push(code),
    })

    expect(send.state).toBe('accepted')
    expect(retried).toEqual(['gateway-unreachable'])
    expect([keys.length, new Set(keys).size, sandbox.sent.length]).toEqual([2, 1, 1])
  })

  test('judges an answer of a proxy by its status', async () => {
    const headers = { 'content-type': 'application/problem+json', 'retry-after': 'Sat, 28 Nov 2026 09:30:00 GMT' }
    const { fetch } = network(
      () => new Response('{ "title": "Bad gateway" }', { status: 502, headers }),
      () => new Response('', { status: 403 }),
    )
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const failing = await problemOf(client.send(chat, hello, { attempts: 1 }))
    const refused = await problemOf(client.send(chat, hello))

    expect(failing).toMatchObject({ status: 502, outcome: 'unknown', retry: 'same-key', retryAfterMs: undefined })
    expect(failing.code).toBe('unreadable-answer')
    expect(refused).toMatchObject({ code: 'unreadable-answer', status: 403, retry: 'no' })
  })

  test.for([
    [408, 'same-key'],
    [429, 'same-key'],
    [500, 'same-key'],
    [404, 'no'],
  ] as const)('says of the status %i of a proxy: %s', async ([status, retry]) => {
    const { fetch } = network(() => Response.json({ code: 'of-a-proxy' }, { status, headers: { 'retry-after': '7' } }))
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const problem = await problemOf(client.send(chat, hello, { attempts: 1 }))

    expect(problem).toMatchObject({ code: 'unreadable-answer', status, outcome: 'unknown', retry, retryAfterMs: 7_000 })
  })

  test('lets nothing be repeated without a key whose answer is lost, nor unread messages', async () => {
    const lost = () => Promise.reject(new TypeError('fetch failed'))
    const badGateway = () => new Response('<html>', { status: 502 })
    const { fetch } = network(lost, badGateway, lost, badGateway)
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const unread = () => client.get('/chats/{platform}/{platformId}/{destination}/unread', { params: { path: chat } })
    const post = () => client.post('/chats/{platform}/{platformId}/{destination}/messages', { params: { path: chat }, body: hello })

    const problems = [await problemOf(unread()), await problemOf(unread()), await problemOf(post()), await problemOf(post())]

    expect(problems.map(({ status, outcome, retry }) => [status, outcome, retry])).toEqual([0, 502, 0, 502].map(n => [n, 'unknown', 'no']))
  })

  test.for(['', '<html>Please log in</html>', '"ok"'])('takes the success %j for an answer of something else', async text => {
    const { fetch } = network(page(text), page(text))
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const read = await problemOf(client.get('/channels'))
    const send = await problemOf(client.send(chat, hello, { attempts: 1 }))

    expect(read).toMatchObject({ code: 'unreadable-answer', status: 200, outcome: 'not_applied', retry: 'yes' })
    expect(send).toMatchObject({ status: 200, outcome: 'unknown', retry: 'same-key', idempotencyKey: expect.any(String) })
  })

  test.for([
    [204, 'same-key'],
    [304, 'no'],
  ] as const)('takes no %i for a send', async ([status, retry]) => {
    const { fetch } = network(() => new Response(null, { status }))
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const problem = await problemOf(client.send(chat, hello, { attempts: 1 }))

    expect(problem).toMatchObject({ code: 'unreadable-answer', status, outcome: 'unknown', retry })
  })

  test.for(['', '0', '-7'])('keeps its own pace where a proxy writes Retry-After: %s', async seconds => {
    const { fetch } = network(() => new Response('', { status: 503, headers: { 'retry-after': seconds } }))
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    expect((await problemOf(client.send(chat, hello, { attempts: 1 }))).retryAfterMs).toBeUndefined()
  })

  test('takes a redrive and a deletion, whose answers have no body', async () => {
    const { fetch } = network(
      () => new Response(null, { status: 202, headers: { 'content-length': '0' } }),
      () => new Response(null, { status: 204 }),
    )
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const redriven = client.post('/webhooks/{name}/redrive', { params: { path: { name: 'crm' } }, body: { failed: true } })

    await expect(redriven).resolves.toBeUndefined()
    expect((await client.http.DELETE('/media/{id}', { params: { path: { id: 'x' } } })).response.status).toBe(204)
  })

  test('throws a problem when an answer breaks off, an error or one for the client beneath too', async ({ gateway }) => {
    const { fetch } = network(cutAnswer, cutAnswer, cutAnswer)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const cut = [
      await problemOf(client.get('/channels')),
      await problemOf(client.get('/sends/{id}', { params: { path: { id: 'none' } } })),
      await problemOf(client.http.GET('/channels', { parseAs: 'blob' })),
    ]

    expect(cut).toMatchObject([200, 404, 200].map(status => ({ code: 'unreadable-answer', status, retry: 'yes' })))
    expect(cut.map(({ cause }) => cause)).toEqual(Array(3).fill(expect.any(TypeError)))
  })

  test('passes on an answer that has no body, or another one than JSON for the client beneath', async ({ gateway }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })

    const { response } = await client.http.GET('/channels')
    const headers = { 'if-none-match': response.headers.get('etag') ?? '' }

    expect((await client.http.GET('/channels', { headers })).response.status).toBe(304)
    expect((await client.http.HEAD('/channels' as never)).response.status).toBe(200) // no operation of the API document
    const { http } = createClient({ baseUrl: gateway.url, key: canaries.key, fetch: network(page('A page')).fetch })
    expect((await http.GET('/channels', { parseAs: 'text' })).data).toBe('A page')
  })

  test('fetches another key when the gateway refuses its own, and repeats the request with it', async ({ gateway, sandbox }) => {
    const asked: boolean[] = []
    const client = createClient({
      baseUrl: gateway.url,
      key: refused => {
        asked.push(refused)
        return refused ? canaries.key : 'an-expired-key-0123456789'
      },
    })

    const send = await client.send(chat, hello)

    expect(send.state).toBe('accepted')
    expect(asked).toEqual([false, true])
    expect(sandbox.sent).toHaveLength(1)
  })

  test.for(['cut and “pasted”', 'a-key-of\ntwo-lines'])('sends nothing with the key %j, and does not show it', async unusable => {
    const { fetch, keys } = network()
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: unusable, fetch })

    const problems = [await problemOf(client.send(chat, hello)), await problemOf(client.events().next())]

    expect(problems).toMatchObject(Array(2).fill({ code: 'unusable-key', status: 0, outcome: 'not_applied', retry: 'no' }))
    expect(keys).toEqual([])
    expect(inspect(problems)).not.toContain(unusable.slice(-4))
  })

  test('knows that nothing was sent where no key could be fetched', async ({ gateway, sandbox }) => {
    const away = async () => (await fetch('http://127.0.0.1:9')).text()
    const ofAnotherRealm = () => runInNewContext('Promise.reject(new TypeError("fetch failed"))') // what a test runner sees
    const keys = [ofAnotherRealm, async () => 'an-expired-key-0123456789', away, async () => canaries.key]
    const client = createClient({ baseUrl: gateway.url, key: async () => (await keys.shift()?.()) ?? '' })

    const first = await problemOf(client.send(chat, hello, { attempts: 1 }))
    const afterRefusal = await problemOf(client.send(chat, hello, { attempts: 1 }))
    const last = await client.send(chat, hello)

    for (const problem of [first, afterRefusal])
      expect(problem).toMatchObject({ code: 'gateway-unreachable', outcome: 'not_applied', retry: 'yes' })
    expect(last.state).toBe('accepted')
    expect(sandbox.sent).toHaveLength(1)
  })

  test('asks once with a key that is a text, and throws what a function for the key throws', async ({ gateway }) => {
    const { fetch, keys } = network()
    const refused = createClient({ baseUrl: gateway.url, key: 'an-expired-key-0123456789', fetch })
    const issue = new Error('Please log in')
    const keyless = createClient({ baseUrl: gateway.url, key: () => Promise.reject(issue), fetch })

    expect(await problemOf(refused.get('/channels'))).toMatchObject({ status: 401, retry: 'no' })
    await expect(keyless.send(chat, hello)).rejects.toBe(issue)
    expect(keys).toHaveLength(1)
  })

  test('lets go of the answer that refused its key', async ({ gateway }) => {
    let isLeft = false
    const refusal = new ReadableStream({
      cancel: () => {
        isLeft = true
      },
    })
    const { fetch } = network(() => new Response(refusal, { status: 401 }))
    const client = createClient({ baseUrl: gateway.url, key: () => canaries.key, fetch })

    await client.get('/channels')

    expect(isLeft).toBe(true)
  })
})

describe('send()', () => {
  test('sends a text and a file, each to its route', async ({ gateway, sandbox }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })

    const text = await client.send(chat, { ...hello, reference: 'order-4711' })
    const file = await client.send(chat, { type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' })

    expect([text, file].map(({ kind, state }) => [kind, state])).toEqual([
      ['message', 'accepted'],
      ['file', 'accepted'],
    ])
    expect(sandbox.sent).toMatchObject([
      { method: 'sendmessage', message: 'Hello' },
      { method: 'sendfile', fileurl: 'https://example.com/menu.jpg' },
    ])
  })

  test('uploads a file with what is given, and nothing for what is undefined', async ({ gateway, sandbox }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })
    const nothing = { thumb: undefined, type: undefined, message: undefined }
    const file = new File(['Our menu'], 'menu.txt')

    const send = await client.send(chat, { file, reference: 'order-4711', ...nothing })
    const full = await client.send(chat, { file, thumb: new Blob([samples.png]), type: 'document', message: 'Our menu' })

    expect([send, full].map(({ state, reference }) => [state, reference])).toEqual([
      ['accepted', 'order-4711'],
      ['accepted', undefined],
    ])
    expect(sandbox.sent).toMatchObject([{ type: 'document', fileurl: expect.stringMatching(/menu\.txt$/) }, { message: 'Our menu' }])
    expect(sandbox.sent.map(({ message, thumburl }) => [message, thumburl !== undefined])).toEqual([
      [undefined, false],
      ['Our menu', true],
    ])
    for (const { fileurl } of sandbox.sent) expect(await (await fetch(String(fileurl))).text()).toBe('Our menu')
  })

  test('sends once although the answer got lost', async ({ gateway, sandbox }) => {
    const { fetch, keys } = network(loseAnswer)
    const retried: string[] = []
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const send = await client.send(chat, hello, { onRetry: ({ code }) => retried.push(code) })

    expect(send.state).toBe('accepted')
    expect(sandbox.sent).toHaveLength(1)
    expect(retried).toEqual(['gateway-unreachable'])
    expect(send.idempotencyKey).toMatch(/^[\da-f]{32}$/)
    expect(keys).toEqual([send.idempotencyKey, send.idempotencyKey])
  })

  test.for([
    ['breaks off', cutAnswer],
    ['is a page', page('<html>Please log in</html>')],
  ] as const)('sends once although the answer %s', async ([, fault], { gateway, sandbox }) => {
    const { fetch, keys } = network(fault)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const send = await client.send(chat, hello, { idempotencyKey: 'mine' })

    expect(send).toMatchObject({ state: 'accepted', idempotencyKey: 'mine' })
    expect(sandbox.sent).toHaveLength(1)
    expect(keys).toEqual(['mine', 'mine'])
  })

  test('repeats what the gateway says may be repeated, with one key', async ({ gateway, sandbox }) => {
    const busy = () => answer(503, { code: 'overloaded', status: 503, outcome: 'not_applied', retry: 'yes' })
    const running = () => answer(409, { code: 'idempotency-key-in-use', status: 409, outcome: 'unknown', retry: 'same-key' })
    const { fetch, keys } = network(busy, running)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const send = await client.send(chat, hello, { idempotencyKey: 'mine' })

    expect(send.idempotencyKey).toBe('mine')
    expect(keys).toEqual(['mine', 'mine', 'mine'])
    expect(sandbox.sent).toHaveLength(1)
  })

  test('stops when told, and says with which key to go on', async ({ gateway, sandbox }) => {
    const { fetch, keys } = network()
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const refused = await problemOf(client.send({ ...chat, destination: 'NO_ROUTE_AVAILABLE' }, hello))
    const lost = await problemOf(client.send({ ...chat, destination: 'drops' }, hello, { attempts: 2 }))
    const again = await problemOf(
      client.send({ ...chat, destination: 'drops' }, hello, { idempotencyKey: lost.idempotencyKey ?? '', attempts: 1 }),
    )

    expect(refused).toMatchObject({ code: 'destination-unroutable', outcome: 'not_applied', retry: 'no' })
    expect(lost).toMatchObject({ code: 'upstream-connection-lost', outcome: 'unknown', retry: 'same-key' })
    expect(again.body?.sendId).toBe(lost.body?.sendId)
    expect(sandbox.sent.filter(({ destination }) => destination === 'drops')).toHaveLength(1)
    expect(new Set(keys).size).toBe(2)
  })

  test('knows that an earlier try may have sent it when a later one is refused', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { slow: { key: 'key-of-one-request-a-minute', rateLimit: { requestsPerMinute: 1 } } } })
    const { fetch } = network(loseAnswer)
    const client = createClient({ baseUrl: gateway.url, key: 'key-of-one-request-a-minute', fetch })

    const problem = await problemOf(client.send(chat, hello, { attempts: 2 }))

    expect(problem).toMatchObject({ code: 'rate-limited', status: 429, outcome: 'unknown', retry: 'same-key' })
    const { title, message, retryAfterMs, body } = problem.cause as GatewayProblem // of the later one
    expect(problem).toMatchObject({ title, message, retryAfterMs: expect.any(Number), body: { requestId: expect.any(String) } })
    expect([problem.retryAfterMs, problem.body]).toEqual([retryAfterMs, body])
    expect(new Set([title, message, problem.code]).size).toBe(3)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('repeats nothing that is refused for good, although an earlier try may have sent it', async () => {
    const lost = () => answer(502, { code: 'upstream-connection-lost', status: 502, outcome: 'unknown', retry: 'same-key' })
    const refused = () => answer(403, { code: 'chat-not-allowed', status: 403, outcome: 'not_applied', retry: 'no' })
    const { fetch, keys } = network(lost, refused)
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    expect(await problemOf(client.send(chat, hello))).toMatchObject({ code: 'chat-not-allowed', outcome: 'unknown', retry: 'no' })
    expect(keys).toHaveLength(2)
  })

  test('believes the ledger when the answer of an earlier try got lost', async ({ gateway }) => {
    const { fetch } = network(loseAnswer)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })

    const problem = await problemOf(client.send({ ...chat, destination: 'NO_ROUTE_AVAILABLE' }, hello))

    expect(problem).toMatchObject({ code: 'destination-unroutable', outcome: 'not_applied', retry: 'no' })
  })

  test('does not wait for hours', async () => {
    const headers = { 'content-type': 'application/problem+json', 'retry-after': '20000' }
    const body = JSON.stringify({ code: 'send-quota-exceeded', status: 429, outcome: 'not_applied', retry: 'yes' })
    const { fetch, keys } = network(() => new Response(body, { status: 429, headers }))
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const problem = await problemOf(client.send(chat, hello))

    expect(problem).toMatchObject({ code: 'send-quota-exceeded', retryAfterMs: 20_000_000, idempotencyKey: keys[0] })
    expect(keys).toHaveLength(1)
  })

  test('follows advice of up to a minute, five times in all', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const random = vi.spyOn(Math, 'random').mockReturnValue(0)
    onTestFinished(() => random.mockRestore())
    const headers = { 'content-type': 'application/problem+json', 'retry-after': '60' }
    const body = JSON.stringify({ code: 'overloaded', status: 503, outcome: 'not_applied', retry: 'yes' })
    const { fetch, keys } = network(...Array(9).fill(() => new Response(body, { status: 503, headers })))
    const retried: number[] = []
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const send = problemOf(client.send(chat, hello, { onRetry: () => retried.push(keys.length) }))
    for (const times of [1, 2, 3, 4]) {
      while (retried.length < times) await new Promise(resolve => setImmediate(resolve))
      await vi.advanceTimersByTimeAsync(59_999)
      expect(keys).toHaveLength(times)
      await vi.advanceTimersByTimeAsync(1)
    }

    expect(await send).toMatchObject({ code: 'overloaded', title: 'overloaded', outcome: 'not_applied', retryAfterMs: 60_000 })
    expect(new Set(keys).size).toBe(1)
    expect(keys).toHaveLength(5)
  })

  test('ends its waiting with the signal', async () => {
    const busy = () => answer(503, { code: 'overloaded', outcome: 'not_applied', retry: 'yes' })
    const { fetch, keys } = network(busy, busy, busy)
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const leaving = new AbortController()

    const send = client.send(chat, hello, { signal: leaving.signal, onRetry: () => leaving.abort() })

    await expect(send).rejects.toMatchObject({ name: 'AbortError' })
    expect(keys).toHaveLength(1)
  })

  const failures = [
    ['AbortError', undefined],
    ['TypeError', new TypeError('terminated')],
  ] as const
  test.for(failures)('ends its request with the signal: %s', async ([name, error]) => {
    const leaving = new AbortController()
    const silent = ({ signal }: Request) =>
      new Promise<Response>((_, reject) => {
        signal.addEventListener('abort', () => reject(error ?? signal.reason))
        leaving.abort()
      })
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: silent })

    await expect(client.send(chat, hello, { signal: leaving.signal })).rejects.toMatchObject({ name })
  })

  test.for(failures)('ends its request with the signal while the answer comes: %s', async ([name, error]) => {
    const leaving = new AbortController()
    const half = ({ signal }: Request) => {
      const pull = (controller: ReadableStreamDefaultController) => {
        leaving.abort()
        controller.error(error ?? signal.reason)
      }
      return new Response(new ReadableStream({ pull }), { status: 201 })
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: async request => half(request) })

    await expect(client.send(chat, hello, { signal: leaving.signal })).rejects.toMatchObject({ name })
  })
})

describe('A pause', () => {
  plain.for([
    [60_000, 1, 60_000],
    [60_000, 1, 90_000_000],
    [4_000, 3, undefined],
    [30_000, 9, undefined],
  ] as const)('is %i ms at least, and up to half of it more', ([leastMs, attempt, adviceMs]) => {
    const pauses = Array.from({ length: 50 }, () => delayMs(attempt, adviceMs))

    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(leastMs)
    expect(Math.max(...pauses)).toBeLessThan(leastMs * 1.5)
    expect(new Set(pauses).size).toBeGreaterThan(1)
  })

  plain('leaves nothing with the signal that could end it', async () => {
    const { signal } = new AbortController()
    await wait(1, signal)

    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  plain('leaves no timer that would keep its process alive once it is ended', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const early = new AbortController()
    const waiting = wait(60_000, early.signal)
    early.abort(new Error('left'))

    await expect(waiting).rejects.toThrow('left')
    await expect(wait(60_000, early.signal)).rejects.toThrow('left')
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('The package of the client', () => {
  plain.skipIf(!canGenerate)(
    'has the types of the API document (if not: npm run generate; needs npm ci --prefix test/tools/generators)',
    () => {
      expect(readFileSync(new URL('../../client/src/api.ts', import.meta.url), 'utf8')).toBe(clientTypes())
    },
  )

  plain.skipIf(!canGenerate)('asks for nothing that has a default (needs npm ci --prefix test/tools/generators)', () => {
    expect(clientTypes()).toContain('ttlSeconds?: number;')
  })

  plain('has at most 8 kB, compressed', async () => {
    const bundle = await rolldown({ input: fileURLToPath(new URL('../../client/src/client.ts', import.meta.url)), platform: 'browser' })
    const { output } = await bundle.generate({ minify: true })
    const { length } = gzipSync(output[0].code)

    expect(output).toHaveLength(1)
    expect(length).toBeLessThan(8_000)
    expect(length).toBeGreaterThan(1_000)
  })
})
