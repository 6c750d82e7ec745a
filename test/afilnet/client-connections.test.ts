import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import { describe, expect, vi } from 'vitest'
import { Client } from '../../src/afilnet/client.ts'
import { Connection } from '../../src/afilnet/connections.ts'
import { getChats } from '../../src/afilnet/operations.ts'
import { FairQueue, type Waiter } from '../../src/lib/fair-queue.ts'
import { type TestGateway, sharedTest as test } from '../gateway.ts'
import { listen } from './listeners.ts'

const http = (body: string, more = '', headers = '') =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}${more}`
const listOf = (destination: string) =>
  JSON.stringify({
    status: 'SUCCESS',
    result: { list: [{ platform: 'whatsapp', platformid: '100', destination, message: `of ${destination}` }] },
  })
const accepted = '{"status":"SUCCESS"}'
const refused = '{"status":"ERROR","error":"CHAT_NOT_FOUND"}'

type Request = { socket: Socket; connection: number; form: URLSearchParams }

/** A server that answers each request with the bytes that `respond` makes of it. */
async function wire(respond: (request: Request) => void) {
  const requests: Request[] = []
  let connections = 0
  const port = await listen(
    createServer(socket => {
      const connection = ++connections
      let pending = ''
      socket
        .on('error', () => {})
        .on('data', bytes => {
          pending += bytes
          const [head = '', body] = pending.split('\r\n\r\n')
          if (body === undefined || body.length < Number(/content-length: (\d+)/i.exec(head)?.[1])) return
          pending = ''
          const request = { socket, connection, form: new URLSearchParams(body) }
          requests.push(request)
          respond(request)
        })
    }),
  )
  return { url: `http://127.0.0.1:${port}/api/http/`, requests, connections: () => connections }
}

const chat = (destination: string | number) => `/chats/whatsapp/100/${destination}/messages`
const send = (gateway: TestGateway, destination: string | number) => gateway.post(chat(destination), { message: 'Hello' })

describe('A connection over which more came than was asked for', () => {
  test.for([
    ['in the same packet', (answer: string, extra: string, socket: Socket) => socket.write(answer + extra)],
    [
      'a little later',
      (answer: string, extra: string, socket: Socket) => {
        socket.write(answer)
        setTimeout(() => socket.write(extra), 5)
      },
    ],
  ] as const)('delivers no stray answer to another caller: %s', async ([, write], { start }) => {
    const afilnet = await wire(({ socket, form }) => write(http(listOf(form.get('destination') ?? '')), http(listOf('stray')), socket))
    const gateway = await start({ env: { AFILNET_URL: afilnet.url, AFILNET_CONNECTIONS: '4' } })

    const replies = []
    for (let i = 0; i < 40; i++) replies.push({ i, ...(await gateway.get(chat(34600000000 + i))) })

    for (const { i, status, text, json } of replies) {
      expect(text).not.toContain('stray')
      if (status === 200) expect(json.items).toMatchObject([{ message: `of ${34600000000 + i}` }])
      else expect(json.code).toMatch(/^upstream-(invalid-response|connection-lost|circuit-open)$/)
    }
  })

  test.for([
    ['an answer', http(accepted)],
    ['a line break', '\r\n'],
    ['garbage', 'xyz'],
  ])('is not used again after %s while it was idle', async ([, extra], { start }) => {
    const afilnet = await wire(({ socket, form }) => socket.write(http(listOf(form.get('destination') ?? ''))))
    const gateway = await start({ env: { AFILNET_URL: afilnet.url } })
    await gateway.get(chat(1_000_000))
    const [{ socket }] = afilnet.requests as [Request]
    socket.write(String(extra))
    await once(socket, 'close')

    const reply = await gateway.get(chat(1_000_001))

    expect(reply.status).toBe(200)
    expect(afilnet.requests.map(({ connection }) => connection)).toEqual([1, 2])
  })

  test.for(['', 'Connection: close\r\n'])('loses a send whose answer is longer than promised (%j)', async (headers, { start }) => {
    const afilnet = await wire(({ socket }) => socket.write(http(accepted, 'and more', headers)))
    const gateway = await start({ env: { AFILNET_URL: afilnet.url } })

    const reply = await send(gateway, 34600000000)

    expect(reply.json).toMatchObject({ status: 502, code: 'upstream-connection-lost', outcome: 'unknown' })
  })

  test('never turns a refused send into an accepted one', async ({ start }) => {
    const afilnet = await wire(({ socket, form }) => {
      socket.write(http(form.get('method') === 'sendmessage' ? refused : listOf(form.get('destination') ?? '')))
      setTimeout(() => socket.write(http(accepted)), Math.random() * 20)
    })
    const gateway = await start({ env: { AFILNET_URL: afilnet.url, AFILNET_CONNECTIONS: '8' } })

    const replies = []
    for (let i = 0; i < 30; i++) {
      const [, reply] = await Promise.all([gateway.get(chat(34600000000 + i)), send(gateway, 34600000000 + i)])
      replies.push(reply)
    }

    expect(replies.map(({ status }) => status)).not.toContain(201)
  })
})

describe('A connection', () => {
  const echo = ({ socket, form }: Request) =>
    socket.write(http(form.get('method') === 'sendmessage' ? accepted : listOf(form.get('destination') ?? '')))

  test('is used again by reads, the latest one first', async ({ start }) => {
    const afilnet = await wire(echo)
    const gateway = await start({ env: { AFILNET_URL: afilnet.url } })

    await Promise.all([1_000_000, 1_000_001, 1_000_002].map(i => gateway.get(chat(i))))
    const opened = afilnet.connections()
    for (let i = 0; i < 10; i++) await gateway.get(chat(1_000_003 + i))

    expect(afilnet.connections()).toBe(opened)
    expect(new Set(afilnet.requests.slice(3).map(({ connection }) => connection)).size).toBe(1)
  })

  test('carries a send only if it is new or has been silent for a while', async ({ start }) => {
    const afilnet = await wire(echo)
    const gateway = await start({ env: { AFILNET_URL: afilnet.url } })

    const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now()) // silent for no time at all
    await send(gateway, 34600000000)
    await send(gateway, 34600000000)
    clock.mockRestore()
    expect(afilnet.requests.map(({ connection }) => connection)).toEqual([1, 2])

    const opensAnother = async () => {
      const before = afilnet.connections()
      await send(gateway, 34600000000)
      return afilnet.connections() > before
    }
    await expect.poll(opensAnother).toBe(false)
  })

  test('at rest after a send does not take the place of one in use', async ({ start }) => {
    const afilnet = await wire(echo)
    const gateway = await start({ env: { AFILNET_URL: afilnet.url, AFILNET_CONNECTIONS: '2' } })

    const opened = async () => {
      const before = afilnet.connections()
      // The third waits for one of the first two, whose connection then has to rest.
      const replies = await Promise.all([1, 2, 3].map(() => send(gateway, 34600000000)))
      expect(replies.map(({ status }) => status)).toEqual([201, 201, 201])
      return afilnet.connections() - before
    }

    expect(await opened()).toBe(3)
    await expect.poll(opened, { interval: 300 }).toBe(0)
  })

  test('makes room for a new one where there may be no more, unless it rests for longer than others', async ({ start }) => {
    const afilnet = await wire(echo)
    const gateway = await start({ env: { AFILNET_URL: afilnet.url, AFILNET_CONNECTIONS: '2' } })

    const replies = []
    for (let i = 0; i < 20; i++) replies.push(await send(gateway, 34600000000))

    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201))
    const open = () => new Set(afilnet.requests.filter(({ socket }) => !socket.destroyed).map(({ connection }) => connection)).size
    await expect.poll(open).toBeLessThanOrEqual(16)
    const [first, ...again] = afilnet.requests.filter(({ connection }) => connection === 1)
    // On a slow machine it has rested for long enough to carry another send, and so rests for less long than others.
    if (again.length === 0) expect(first?.socket.destroyed).toBe(false)
  })

  test('is used again by a large answer that has to wait for room', async () => {
    const large = listOf('2'.repeat(5_000))
    const chunks = (large.match(/.{1,100}/g) ?? []).map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`
    const afilnet = await wire(({ socket, form }) => socket.write(form.get('platformid') === '1' ? http(listOf('1')) : chunked))
    const [own, room] = [new FairQueue(1, 8), new FairQueue(1, 8)]
    const other: Waiter = { caller: 'another', position: 'none', onAcquired() {}, onEvicted() {} }
    room.acquire(other)
    const limits = { connections: 1, timeoutMs: 10_000, lateMs: 0, maxResponseBytes: 100_000, evenShare: { bytes: 1_000 } }
    const account = { url: new URL(afilnet.url), transport: 'post', user: 'u', password: 'fake' } as const
    const client = new Client({ ...account, ...limits, largeResponseSlots: [own, room] })
    const ask = (platformid: string) =>
      client.call(getChats, { platform: 'whatsapp', platformid }, { caller: 'someone', timeoutMs: 10_000 })

    await ask('1')
    const rows = ask('2')
    await expect.poll(() => room.load().queued).toBe(1)
    room.release(other)

    expect(await rows).toMatchObject([{ destination: '2'.repeat(5_000) }])
    expect(afilnet.requests.map(({ connection }) => connection)).toEqual([1, 1])
    expect([own.load(), room.load()], 'the room is free again').toEqual(Array(2).fill({ inFlight: 0, queued: 0 }))
    await client.destroy()
  })

  test('is closed after a row of another chat', async ({ start }) => {
    const afilnet = await wire(({ socket }) => socket.write(http(listOf('34611111111'))))
    const gateway = await start({ env: { AFILNET_URL: afilnet.url } })

    const replies = [await gateway.get(chat(34600000000)), await gateway.get(chat(34611111111))]

    expect(replies.map(({ status }) => status)).toEqual([502, 200])
    expect(afilnet.requests.map(({ connection }) => connection)).toEqual([1, 2])
  })

  test('goes on, however often it is lost just as it is taken', async () => {
    const afilnet = await wire(({ socket }) => socket.write(http(accepted)))
    const { hostname, port, origin } = new URL(afilnet.url)
    const sockets: Socket[] = []
    const connection = new Connection(
      {
        origin,
        calls: 1,
        maxResponseBytes: 1_000,
        connect: (_, callback) => void sockets.push(connect(Number(port), hostname, () => callback(null, sockets.at(-1) as Socket))),
      },
      () => {},
    )
    const call = () =>
      new Promise<string>(resolve => {
        const handler: Dispatcher.DispatchHandler = {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd: () => resolve('answered'),
          onResponseError: (_, error) => resolve(error.message),
        }
        connection.dispatch({ path: '/', method: 'GET', headers: {}, body: null }, handler)
      })

    for (let i = 0; i < 4; i++) {
      expect(await call()).toBe('answered')
      sockets.at(-1)?.destroy()
    }
    expect(sockets).toHaveLength(4)
    await connection.destroy()
  })
})
