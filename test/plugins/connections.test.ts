import { once } from 'node:events'
import { connect, createServer, Socket } from 'node:net'
import { describe, expect, onTestFinished, test as plain } from 'vitest'
import { createConnections } from '../../src/plugins/connections.ts'
import { canaries, readAnswers, test } from '../gateway.ts'

/** A server that says hello to each connection that it keeps, and what it shed. */
async function serverOf({
  max,
  keepAliveMs = 60_000,
  trusted = [] as string[],
}: {
  max: number
  keepAliveMs?: number
  trusted?: string[]
}) {
  const shed: string[] = []
  const connections = createConnections({
    max,
    keepAliveMs,
    isTrusted: address => trusted.includes(address ?? ''),
    observe: (_, { reason }) => void shed.push(reason),
  })
  const server = createServer(socket => {
    socket.on('error', () => {})
    connections.accept(socket)
    if (!socket.destroyed) socket.write('hello')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const sockets: Socket[] = []
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  /** Connects from an address; `true` once the server has said hello, `false` if it has closed. */
  const open = async (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
    sockets.push(socket)
    const kept = await Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)])
    return { socket, kept }
  }
  return { open, shed, connections }
}

const times = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('An address', () => {
  plain('holds half of the connections at most, and loses those that are idle longest', async () => {
    const { open, shed, connections } = await serverOf({ max: 8 })

    const first = await open('127.0.0.1')
    const lost = once(first.socket, 'close')
    for (const _ of times(11)) expect(await open('127.0.0.1')).toMatchObject({ kept: true })
    await lost
    const other = await open('127.0.0.2')

    expect(other.kept).toBe(true)
    expect(shed).toEqual(times(8).map(() => 'share'))
    expect(connections.all.size).toBe(5)
  })

  plain('loses one connection for each new one, however many come at once', async () => {
    const { shed, connections } = await serverOf({ max: 8 })
    const sockets = times(8).map(() => new Socket())
    for (const socket of sockets) connections.accept(socket)

    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([...Array(4).fill(true), ...Array(4).fill(false)])
    expect(shed).toHaveLength(4)
    expect(connections.all.size).toBe(4)
  })

  plain('gets the place of each connection back that has closed', async () => {
    const { open, shed } = await serverOf({ max: 4 })
    for (const _ of times(10)) {
      const { socket, kept } = await open('127.0.0.1')
      expect(kept).toBe(true)
      await once(socket.end(), 'close')
    }

    expect(shed).toEqual([])
  })

  plain('gets no new connection while none of its share is idle, and others do', async () => {
    const { open, shed, connections } = await serverOf({ max: 4 })
    for (const _ of times(2)) await open('127.0.0.1')
    for (const { open } of connections.all) open.push({} as never) // a request that waits for its answer

    expect(await open('127.0.0.1')).toMatchObject({ kept: false })
    expect(shed).toEqual(['share'])
    expect(await open('127.0.0.2')).toMatchObject({ kept: true })
  })

  plain('that is trusted speaks for many callers and has no share', async () => {
    const { open } = await serverOf({ max: 8, trusted: ['127.0.0.1'] })

    for (const _ of times(7)) expect(await open('127.0.0.1')).toMatchObject({ kept: true })
    expect(await open('127.0.0.2')).toMatchObject({ kept: true })
  })
})

describe('Idle connections', () => {
  plain('are kept for less time while most connections are taken', async () => {
    const { open, shed, connections } = await serverOf({ max: 4, keepAliveMs: 60_000, trusted: ['127.0.0.1'] })
    await open('127.0.0.1')
    for (const { open } of connections.all) open.push({} as never) // a request that waits for its answer
    await open('127.0.0.1')
    for (const connection of connections.all) connection.idleSince -= 40_000

    connections.closeIdle()
    expect(shed).toEqual([])
    const { socket } = await open('127.0.0.1')
    connections.closeIdle()

    expect(shed).toEqual(['idle'])
    expect(socket.destroyed).toBe(false)
  })

  test('are closed after KEEP_ALIVE_MS, as the answer says', async ({ start }) => {
    const gateway = await start({ env: { KEEP_ALIVE_MS: '1000' } })

    const [answer] = readAnswers(await gateway.raw(`GET /me HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`))

    expect(answer).toMatchObject({ status: 200, headers: { connection: 'keep-alive', 'keep-alive': 'timeout=1' } })
  })

  test('are kept for 72 s by default', async ({ gateway }) => {
    const answer = await gateway.get('/me')

    expect(answer.headers['keep-alive']).toBe('timeout=72')
  })
})
