import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/**
 * A proxy in front of a server; `leadTo` sends new connections to another one, `cut` closes those that have written, or all, and `mute` loses
 * all answers on the next one that says this.
 */
export async function openSwitch(port: number) {
  const open = new Map<Socket, { writes: boolean }>()
  let target = port
  let muted: string | undefined
  const server = createServer(socket => {
    const inner = connect(target, '127.0.0.1')
    const is = { writes: false }
    open.set(socket, is)
    socket.on('data', bytes => {
      const text = bytes.toString('latin1')
      if (muted !== undefined && text.includes(muted)) {
        muted = undefined
        inner.unpipe(socket).resume()
      }
      is.writes ||= /\r\nwait\r\n/i.test(text) // only who writes waits for a replica
    })
    for (const end of [socket, inner]) end.on('error', () => {})
    socket.on('close', () => {
      open.delete(socket)
      inner.destroy()
    })
    inner.on('close', () => socket.destroy())
    socket.pipe(inner).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of open.keys()) socket.destroy()
    server.close()
  })
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}/0`, // a TCP listener has one
    leadTo(other: number) {
      target = other
    },
    mute(text: string) {
      muted = text
    },
    cut(which: 'writer' | 'all') {
      for (const [socket, { writes }] of open) if (which === 'all' || writes) socket.destroy()
    },
  }
}
