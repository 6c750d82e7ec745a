import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Node accepts one connection of each listener in a turn of its event loop. Under load a turn takes tens of milliseconds, and callers that
 * came at once would wait for seconds while the first of them are answered again and again. Only on Linux do listeners share a port fairly.
 */
const count = process.platform === 'linux' ? 16 : 1

/** The kernel holds so many connections for each listener until they are accepted, as far as `net.core.somaxconn` lets it; 511 are Node's default. */
const backlog = 4_096

/** Listens with several listeners, which all give their connections to `app.server`. Rejects with `EADDRINUSE` if the port is in use. */
export async function listen(app: FastifyInstance, host: string, port: number) {
  const shared = { backlog, reusePort: count > 1 }
  const others = Array.from({ length: count - 1 }, () =>
    createServer({ allowHalfOpen: true, noDelay: true }, socket => app.server.emit('connection', socket)),
  )
  let closed: Promise<unknown> = Promise.resolve()
  app.addHook('preClose', async () => {
    closed = Promise.all(others.map(other => other[Symbol.asyncDispose]()))
  })
  app.addHook('onClose', () => closed)

  await assertFree(host, port)
  const first = { host, port, listenTextResolver: () => 'listening', ...shared } // Fastify hands all of it to Node
  await app.listen(first)
  const { address, port: actual } = app.server.address() as AddressInfo // a TCP listener has one
  await Promise.all(others.map(other => once(other.listen({ host: address, port: actual, ...shared }), 'listening')))
}

/** Another gateway of the same user could share the port as well, and callers would get the one or the other. */
async function assertFree(host: string, port: number) {
  const alone = createServer()
  await once(alone.listen({ host, port }), 'listening')
  await alone[Symbol.asyncDispose]()
}
