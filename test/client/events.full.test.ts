import { getEventListeners } from 'node:events'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { createClient, type EventOptions, type GatewayEvent, GatewayProblem } from '../../client/src/client.ts'
import { canaries, test } from '../gateway.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const stream = { headers: { 'content-type': 'text/event-stream' } }
const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }

/** Streams that break off after their first event, the first `times` of them, as connections do. */
function breaking(times: number) {
  const positions: (string | null)[] = []
  return {
    positions,
    fetch: async (request: Request) => {
      const response = await fetch(request)
      if (!request.url.includes('/events') || !response.body) return response
      positions.push(request.headers.get('last-event-id'))
      if (positions.length > times) return response
      const cut = new TransformStream<Uint8Array, Uint8Array>({
        transform(bytes, controller) {
          controller.enqueue(bytes)
          if (Buffer.from(bytes).includes('data:')) controller.error(new TypeError('terminated'))
        },
      })
      return new Response(response.body.pipeThrough(cut), response)
    },
  }
}

/** Stops the timers of a test, and makes no pause longer than it must be; gives a function that lets time pass. */
function useClock() {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const random = vi.spyOn(Math, 'random').mockReturnValue(0)
  onTestFinished(() => random.mockRestore())
  const turns = async () => {
    for (let n = 0; n < 10; n++) await new Promise(resolve => setImmediate(resolve))
  }
  return async (ms: number) => {
    await turns()
    await vi.advanceTimersByTimeAsync(ms)
    await turns()
  }
}

describe('events()', () => {
  test('yields each message once and in order, across broken connections', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await sandbox.until(({ calls }) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length > 1) // before the first look nothing is new
    const { fetch, positions } = breaking(2)
    const client = createClient({ baseUrl: gateway.url, key: canaries.key, fetch })
    const write = (message: string) => sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message })
    const texts = ['one', 'two', 'three']
    const seen: string[] = []
    const done = new AbortController()
    const options: EventOptions = { ...chat, type: 'message.created', signal: done.signal }
    options.onConnection = problem => {
      const next = problem === undefined ? texts.shift() : undefined
      if (next !== undefined) write(next)
    }

    for await (const { message, direction } of client.events(options)) {
      seen.push(`${direction} ${message?.message}`)
      if (seen.length === 3) done.abort()
    }

    expect(seen).toEqual(['in one', 'in two', 'in three'])
    expect(positions[0]).toBeNull()
    expect(positions.slice(1)).toEqual([expect.any(String), expect.any(String)])
  })

  test('throws what another try cannot change', async ({ gateway }) => {
    const client = createClient({ baseUrl: gateway.url, key: canaries.key })

    const listening = client.events().next()

    await expect(listening).rejects.toBeInstanceOf(GatewayProblem)
    await expect(listening).rejects.toMatchObject({ code: 'events-not-enabled', retry: 'no' })
  })

  test('resumes from a position without data, and keeps what is split between chunks', async () => {
    const event = { id: 'e2', type: 'message.created', reason: '👍' } as GatewayEvent
    const data = JSON.stringify(event).replace(',', ',\r\ndata: ')
    const block = Buffer.from(`id: e2\r\nevent: message.created\r\ndata: ${data}\r\n\r\n`)
    const inEmoji = block.indexOf('👍') + 2
    const bodies = [
      ['retry: 5\nid: e1\n', '\n: id: none\n\n'],
      [block.subarray(0, 32), block.subarray(32, inEmoji), block.subarray(inEmoji, -1), block.subarray(-1)],
    ]
    const asked: unknown[] = []
    const fetch = async ({ url, headers }: Request) => {
      asked.push([new URL(url).search, ...['accept', 'last-event-id'].map(name => headers.get(name))])
      const chunks = bodies.shift() ?? []
      return new Response(ReadableStream.from(chunks.map(chunk => Buffer.from(chunk as string))) as ReadableStream, stream)
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const { signal } = new AbortController()
    const listening = client.events({ signal, after: 'e0', type: 'message.created' })
    const { value } = await listening.next()
    await listening.return()

    expect(value).toEqual(event)
    expect(asked).toEqual(['e0', 'e1'].map(last => ['?type=message.created', 'text/event-stream', last]))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('takes 40 seconds without a word for the end, and connects again when the stream said', async () => {
    const pass = useClock()
    let write = (_: string) => {}
    let asked = 0
    const fetch = async ({ signal }: Request) => {
      if (++asked === 1) return new Promise<Response>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      if (asked === 3) throw new TypeError('fetch failed')
      if (asked === 4) return new Response(null, { status: 503, headers: { 'retry-after': '20' } })
      const start = (controller: ReadableStreamDefaultController) => {
        write = text => controller.enqueue(Buffer.from(text))
      }
      return new Response(new ReadableStream({ start }), stream)
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const connections: (string | undefined)[] = []
    const done = new AbortController()
    const listening = client.events({ signal: done.signal, onConnection: problem => connections.push(problem?.code) }).next()
    await pass(40_000)
    expect(connections).toEqual(['stream-interrupted'])
    await pass(1_500)
    connections.length = 0
    write('retry: 3000\r\nid: e1\r\n\r\n')
    await pass(39_000)
    write('retry: soon\n\n')
    await pass(39_000)
    expect(connections).toEqual([undefined])
    await pass(1_000)
    expect(connections).toEqual([undefined, 'stream-interrupted'])
    await pass(2_999)
    expect(asked).toBe(2)
    await pass(3_001) // the pause of the stream, and then one of a second, each up to half longer
    expect(asked).toBe(4)
    await pass(17_999) // as the answer says
    expect(asked).toBe(4)
    expect(connections).toEqual([undefined, 'stream-interrupted', 'gateway-unreachable', 'unreadable-answer'])
    done.abort()
    expect((await listening).done).toBe(true)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('waits for a slow reader, and comes back as advised, or after longer and longer pauses', async () => {
    const pass = useClock()
    let body: ReadableStreamDefaultController | undefined
    const start = (controller: ReadableStreamDefaultController) => {
      body = controller
    }
    const problem = JSON.stringify({ code: 'too-many-streams', status: 429, outcome: 'not_applied', retry: 'yes' })
    const answers = [
      new Response(new ReadableStream({ start }), stream),
      new Response(problem, { status: 429, headers: { 'content-type': 'application/problem+json', 'retry-after': '7' } }),
    ]
    let asked = 0
    const fetch = async () => {
      asked++
      const answer = answers.shift()
      if (!answer) throw new TypeError('fetch failed')
      return answer
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const done = new AbortController()
    const listening = client.events({ signal: done.signal })

    const first = listening.next()
    await pass(0)
    body?.enqueue(Buffer.from('retry: 3000\n\ndata: {"id":"e1"}\n\n'))
    expect((await first).value).toEqual({ id: 'e1' })
    await pass(60_000)
    body?.enqueue(Buffer.from('data: {"id":\r\ndata: "e2"}\r\n\r\n'))
    expect((await listening.next()).value).toEqual({ id: 'e2' })
    body?.close()
    const last = listening.next()
    for (const [n, pauseMs] of [3_000, 7_000, 2_000, 4_000].entries()) {
      await pass(pauseMs - 1)
      expect(asked).toBe(n + 1)
      await pass(1)
      expect(asked).toBe(n + 2)
    }
    done.abort()

    expect((await last).done).toBe(true)
  })

  test('ends with its signal, its loop or its return(), and lets go of a stream that does not hear it', async () => {
    let left = 0
    const deaf = () => {
      const start = (controller: ReadableStreamDefaultController) => controller.enqueue(Buffer.from('data: {}\n\n'))
      return new Response(new ReadableStream({ start, cancel: () => void left++ }), stream)
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: async () => deaf() })
    const done = new AbortController()
    const kept = new AbortController()
    const states: unknown[] = []

    for await (const _ of client.events({ signal: done.signal, onConnection: problem => states.push(problem) })) done.abort()
    expect([left, ...states]).toEqual([1, undefined])
    for await (const event of client.events({ signal: done.signal })) expect.fail(JSON.stringify(event))
    for await (const _ of client.events({ signal: kept.signal })) break
    expect(left).toBe(2)
    const events = client.events({ signal: kept.signal })
    await events.next()
    const pending = events.next()
    expect([await events.return(), await pending]).toEqual(Array(2).fill({ value: undefined, done: true }))
    expect(left).toBe(3)
    expect(getEventListeners(kept.signal, 'abort')).toEqual([])
  })

  test('reconnects after a page of something else, and throws an event that is none', async () => {
    const answers = [
      new Response('<html>\n\nPlease log in</html>', { headers: { 'content-type': 'text/html', 'retry-after': '0' } }),
      new Response('data: <html>\n\n', stream),
    ]
    const requests: Request[] = []
    const fetch = async (request: Request) => {
      requests.push(request)
      return answers.shift() ?? new Response(null, { status: 404 })
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const connections: unknown[] = []

    const listening = client
      .events({ onConnection: problem => connections.push(problem && [problem.code, problem.outcome, problem.retry]) })
      .next()

    await expect(listening).rejects.toBeInstanceOf(GatewayProblem)
    await expect(listening).rejects.toMatchObject({ code: 'unreadable-answer', outcome: 'not_applied', retry: 'no' })
    expect(connections).toEqual([['unreadable-answer', 'not_applied', 'yes'], undefined])
    expect(requests.map(({ signal }) => signal.aborted)).toEqual([true, true])
  })

  test.for([null, 'a stream of another kind'])('throws where its fetch has no web stream: %s', async body => {
    const fetch = async () => Object.defineProperty(new Response('data: {}\n\n', stream), 'body', { value: body })
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    await expect(client.events().next()).rejects.toMatchObject({ code: 'unreadable-answer', outcome: 'not_applied', retry: 'no' })
  })
})
