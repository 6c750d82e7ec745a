import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type FaultyProxy = Awaited<ReturnType<typeof openFaultyProxy>>

/** A stray answer, well-formed and a success. */
const strayAnswer = 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 32\r\n\r\n{"status":"SUCCESS","result":""}'

/** HTTP/1.1 cannot tell an answer from a stray one that comes later than this, when the next request may have left. */
const strayMs = 150

/** A proxy in front of whichever sandbox serves just now. It can refuse connections, and slip stray answers into idle ones. */
export async function openFaultyProxy() {
  const sockets = new Set<Socket>()
  const passing = new Set<() => void>()
  let target = 0
  let strays = 0

  function forward(socket: Socket) {
    const inner = connect(target, '127.0.0.1')
    let asked = 0
    for (const end of [socket, inner]) {
      sockets.add(end)
      end.on('close', () => sockets.delete(end)).on('error', () => {})
    }
    socket.on('data', () => {
      asked++
      for (const notify of passing) notify()
      passing.clear()
    })
    inner.on('data', () => {
      if (strays === 0) return
      strays--
      const [requests, at] = [asked, Date.now()]
      const slip = () => {
        if (asked === requests && Date.now() - at < strayMs && socket.writable) socket.write(strayAnswer)
      }
      if (strays % 2 === 0) setImmediate(slip)
      else setTimeout(slip, 50)
    })
    // A reset stays a reset on the other side.
    inner.on('error', () => socket.resetAndDestroy())
    socket.on('close', () => inner.destroy())
    inner.on('close', () => socket.end())
    socket.pipe(inner, { end: false }).pipe(socket, { end: false })
  }

  async function open(port: number): Promise<Server> {
    const server = createServer(forward)
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }

  let server = await open(0)
  const { port } = server.address() as AddressInfo // a TCP listener has one
  return {
    port,
    leadTo(port: number) {
      target = port
    },
    /** Resolves as soon as a call passes, or after a second without one. */
    passed: () => new Promise<void>(resolve => passing.add(resolve).size && setTimeout(resolve, 1_000)),
    async refuse(forMs: number) {
      server.close()
      await sleep(forMs)
      server = await open(port)
    },
    /** Adds a stray answer to each of the next answers. */
    slipIn(count: number) {
      strays = count
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
