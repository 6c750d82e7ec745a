import { type AddressInfo, connect, type Server } from 'node:net'
import { Worker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'

/** Listens on a free port of loopback until the test is over, and then ends every connection. */
export async function listen(server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', socket => sockets.add(socket))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port // a listening TCP server has one
}

/** A name without an address: no resolver asks the network for one whose label is too long for DNS. */
export const nameless = `${'a'.repeat(64)}.localhost`

const asleep = `
  const { createServer } = require('node:net')
  const { parentPort, workerData } = require('node:worker_threads')
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(workerData, 0, 0)
  })`

/** A port whose listener never accepts and whose backlog is full, so that connecting to it hangs. */
export async function fullBacklog(): Promise<number> {
  const worker = new Worker(asleep, { eval: true, workerData: new Int32Array(new SharedArrayBuffer(4)) })
  const port = await new Promise<number>(resolve => worker.once('message', resolve))
  // The kernel completes as many connections as the backlog and one more; the last two keep trying.
  const sockets = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await worker.terminate()
  })
  const connected = sockets.map(socket => new Promise(resolve => socket.once('connect', resolve)))
  const first = Promise.race(connected.map((one, index) => one.then(() => index)))
  const winner = await first
  await Promise.race(connected.filter((_, index) => index !== winner))
  return port
}
