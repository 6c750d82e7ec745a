import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type Door = Awaited<ReturnType<typeof openDoor>>

/** A door in front of the sandbox, whichever it is just now: it can be shut, and then connections are refused. */
export async function openDoor() {
  const sockets = new Set<Socket>()
  const passing = new Set<() => void>()
  let behind = 0

  async function open(port: number): Promise<Server> {
    const server = createServer(socket => {
      const inner = dial(behind, '127.0.0.1')
      for (const end of [socket, inner]) {
        sockets.add(end)
        end.on('close', () => sockets.delete(end)).on('error', () => {})
      }
      socket.on('data', () => {
        for (const tell of passing) tell()
        passing.clear()
      })
      // A reset stays a reset on the other side.
      inner.on('error', () => socket.resetAndDestroy())
      socket.on('close', () => inner.destroy())
      inner.on('close', () => socket.end())
      socket.pipe(inner, { end: false }).pipe(socket, { end: false })
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }

  let server = await open(0)
  const { port } = server.address() as AddressInfo // a TCP listener has one
  return {
    port,
    leadsTo(port: number) {
      behind = port
    },
    /** Resolves as soon as a call goes through, or after a second without one. */
    passed: () => new Promise<void>(resolve => passing.add(resolve).size && setTimeout(resolve, 1_000)),
    async shut(forMs: number) {
      server.close()
      await sleep(forMs)
      server = await open(port)
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
