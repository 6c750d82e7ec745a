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

describe('events()', () => {
  test('yields each message once and in order, across broken connections', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await sandbox.until(({ calls }) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length > 1, 40_000) // before the first look nothing is new
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
    const block = Buffer.from(`id: e2\nevent: message.created\ndata: ${JSON.stringify(event)}\n\n`)
    const inEmoji = block.indexOf('👍') + 2
    const bodies = [
      ['retry: 5\nid: e1\n', '\n: here\n\n'],
      [block.subarray(0, 32), block.subarray(32, inEmoji), block.subarray(inEmoji, -1), block.subarray(-1)],
    ]
    const asked: (string | null)[] = []
    const fetch = async (request: Request) => {
      asked.push(request.headers.get('last-event-id'))
      const chunks = bodies.shift() ?? []
      return new Response(ReadableStream.from(chunks.map(chunk => Buffer.from(chunk as string))) as ReadableStream, stream)
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })

    const { value } = await client.events().next()

    expect(value).toEqual(event)
    expect(asked).toEqual([null, 'e1'])
  })

  test('takes 40 seconds without a word for the end, and connects again when the stream said', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const turn = () => new Promise(resolve => setImmediate(resolve))
    let write = (_: string) => {}
    let asked = 0
    const fetch = async () => {
      asked++
      const start = (controller: ReadableStreamDefaultController) => {
        write = text => controller.enqueue(Buffer.from(text))
      }
      return new Response(new ReadableStream({ start }), stream)
    }
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const connections: (string | undefined)[] = []
    const done = new AbortController()
    const listening = client.events({ signal: done.signal, onConnection: problem => connections.push(problem?.code) }).next()
    const pass = async (ms: number) => {
      for (let n = 0; n < 10; n++) await turn()
      await vi.advanceTimersByTimeAsync(ms)
      for (let n = 0; n < 10; n++) await turn()
    }
    await pass(0)
    write('retry: 3000\nid: e1\n\n')
    await pass(39_000)
    write(':\n\n')
    await pass(39_000)
    expect(connections).toEqual([undefined])
    await pass(1_000)
    expect(connections).toEqual([undefined, 'stream-interrupted'])
    await pass(2_999)
    expect(asked).toBe(1)
    await pass(1_501)

    expect(asked).toBe(2)
    done.abort()
    expect((await listening).done).toBe(true)
  })

  test('ends with its signal, and lets go of a stream that does not hear it', async () => {
    let isLeft = false
    const deaf = new ReadableStream({
      start: controller => controller.enqueue(Buffer.from(': here\n\n')),
      cancel: () => {
        isLeft = true
      },
    })
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch: async () => new Response(deaf, stream) })
    const done = new AbortController()

    const { value } = await client.events({ signal: done.signal, onConnection: () => done.abort() }).next()

    expect(value).toBeUndefined()
    expect(isLeft).toBe(true)
  })

  test('reconnects after a page of something else, and throws an event that is none', async () => {
    const answers = [
      new Response('<html>\n\nPlease log in</html>', { headers: { 'content-type': 'text/html', 'retry-after': '0' } }),
      new Response('data: <html>\n\n', stream),
    ]
    const fetch = async () => answers.shift() ?? new Response(null, { status: 404 })
    const client = createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
    const connections: unknown[] = []

    const listening = client.events({ onConnection: problem => connections.push(problem?.code) }).next()

    await expect(listening).rejects.toBeInstanceOf(GatewayProblem)
    await expect(listening).rejects.toMatchObject({ code: 'unreadable-answer', outcome: 'not_applied', retry: 'no' })
    expect(connections).toEqual(['unreadable-answer', undefined])
  })
})
