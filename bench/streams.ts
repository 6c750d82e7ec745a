import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Endpoint, key } from './endpoint.ts'

/** When an event was learnt of, how many streams have had it, and when the last of them had its last byte. */
export type Received = { at: number; streams: number; lastAt: number }

/** Streams of server-sent events that were opened. */
export type Streams = {
  /** By the id of the message. */
  received: ReadonlyMap<string, Received>
  /** Resolves with the first event. */
  first: Promise<unknown>
  close(): void
}

const message = /messageId":"(\w+)"/
const learntAt = /"at":"([^"]+)"/
const openedAtOnce = 50

/** Opens streams on bare sockets: a client that reads more of it than it has to would be what is measured. */
export async function openStreams({ url }: Endpoint, count: number): Promise<Streams> {
  const received = new Map<string, Received>()
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const sockets = Array.from({ length: count }, () => connect(Number(url.port), url.hostname).setEncoding('latin1'))
  const request = `GET /events HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${key}\r\naccept: text/event-stream\r\n\r\n`
  for (let i = 0; i < count; i += openedAtOnce) {
    const some = sockets.slice(i, i + openedAtOnce)
    await Promise.all(
      some.map(async socket => {
        let rest = ''
        socket.on('error', () => socket.destroy()) // its events are missing then, and say so
        socket.write(request)
        const begun = Promise.race([once(socket, 'data'), once(socket, 'close')])
        socket.on('data', (chunk: string) => {
          const blocks = (rest + chunk).split('\n\n')
          rest = blocks.pop() ?? ''
          for (const block of blocks) if (note(block)) resolve()
        })
        await begun
      }),
    )
  }

  function note(block: string): boolean {
    const id = message.exec(block)?.[1]
    if (id === undefined) return false
    const known = received.get(id) ?? { at: Date.parse(learntAt.exec(block)?.[1] ?? ''), streams: 0, lastAt: 0 }
    received.set(id, known)
    known.streams++
    known.lastAt = Date.now()
    return true
  }

  return {
    received,
    first: Promise.race([first, sleep(20_000, undefined, { ref: false }).then(() => Promise.reject(new Error('no event came')))]),
    close() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
