import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Node accepts one connection of each listener in a turn of its event loop. Under load a turn takes tens of milliseconds, and callers that
 * came at once would wait for seconds while the first of them are answered again and again. macOS and Windows do not share a port so.
 */
const manyListeners = process.platform === 'linux' ? 16 : 1

/**
 * Listens with several listeners at each address of the host, which all give their connections to `app.server`; the bound that it has on
 * connections is that of each.
 *
 * Rejects with `EADDRINUSE` if the port is in use. What listens by then is closed with the app.
 */
export async function listen(app: FastifyInstance, host: string, port: number, count = manyListeners) {
  const shared = { reusePort: count > 1 } // Fastify hands it to Node
  const others: Server[] = []
  let closed: Promise<unknown> = Promise.resolve()
  app.addHook('preClose', async () => {
    closed = Promise.all(others.map(other => new Promise(resolve => other.close(resolve))))
  })
  app.addHook('onClose', async () => void (await closed))
  await app.ready() // it takes a while, in which a port that was found free could be taken

  const [first = host, ...more] = await freeAddresses(host, port)
  await app.listen({ host: first, port, listenTextResolver: () => 'listening', ...shared })
  const { port: actual } = app.server.address() as AddressInfo // a TCP listener has one
  for (const address of [first, ...more]) {
    for (let n = address === first ? 1 : 0; n < count; n++) {
      const other = createServer({ allowHalfOpen: true, noDelay: true }, socket => app.server.emit('connection', socket))
      other.maxConnections = app.server.maxConnections
      others.push(other.listen({ host: address, port: actual, ...shared }))
    }
  }
  await Promise.all(others.map(other => once(other, 'listening')))
}

/** The addresses of a host where the port is free, else rejects: `localhost` may have two, of which this machine may lack one. */
export async function freeAddresses(host: string, port: number): Promise<string[]> {
  const found = host === 'localhost' ? await lookup(host, { all: true }) : [{ address: host }]
  const free: string[] = []
  let lacking: unknown
  for (const { address } of found) {
    try {
      await assertFree(address, port)
      free.push(address)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException // node:net throws nothing else
      if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') throw error
      lacking = error
    }
  }
  if (free.length === 0) throw lacking
  return free
}

/** Another gateway of the same user could share the port as well, and callers would get the one or the other. */
async function assertFree(host: string, port: number) {
  const alone = createServer()
  await once(alone.listen({ host, port }), 'listening')
  await alone[Symbol.asyncDispose]()
}
