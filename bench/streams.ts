import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Endpoint, key } from './endpoint.ts'

/** Streams of server-sent events that were opened. */
export type Streams = {
  /** Resolves with the first event. */
  first: Promise<unknown>
  /** The events of the first stream in their order, with when they were learnt of. */
  events(): { id: string; at: number }[]
  /** When each stream had its last byte of each of these events, which stand in their order; infinite where it has not come. */
  arrivals(ids: readonly string[]): number[]
  close(): void
}

/** Up to which event a stream had everything at that time. */
type Progress = { id: string; at: number }

const event = /"at":"([^"]+)"[^\n]*?"messageId":"(\w+)"/g
const beforeId = '"messageId":"'
const endOfWrite = '\n\n\r\n' // of an event, and of its part of the answer
const openedAtOnce = 50

/**
 * Opens streams on bare sockets, and looks only at the end of what comes: a client that read each event of each stream would be what is
 * measured. Only the first stream is read in full; all get the same bytes.
 */
export async function openStreams({ url }: Endpoint, count: number): Promise<Streams> {
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const sockets = Array.from({ length: count }, () => connect(Number(url.port), url.hostname))
  const progress = sockets.map((): Progress[] => [])
  const read: string[] = []
  const request = `GET /events HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${key}\r\naccept: text/event-stream\r\n\r\n`
  for (let from = 0; from < count; from += openedAtOnce) {
    const some = sockets.slice(from, from + openedAtOnce)
    await Promise.all(
      some.map(async (socket, i) => {
        let id: string | undefined
        socket.on('error', () => socket.destroy()) // its events are missing then, and say so
        socket.write(request)
        const begun = Promise.race([once(socket, 'data'), once(socket, 'close')])
        socket.on('data', (chunk: Buffer) => {
          if (from + i === 0) read.push(chunk.toString('latin1'))
          const start = chunk.lastIndexOf(beforeId) + beforeId.length
          if (start >= beforeId.length) id = chunk.toString('latin1', start, chunk.indexOf('"', start))
          if (id === undefined || chunk.lastIndexOf(endOfWrite) !== chunk.length - endOfWrite.length) return
          progress[from + i]?.push({ id, at: Date.now() })
          resolve()
        })
        await begun
      }),
    )
  }

  return {
    first: Promise.race([first, sleep(20_000, undefined, { ref: false }).then(() => Promise.reject(new Error('no event came')))]),
    events: () => [...read.join('').matchAll(event)].map(([, at = '', id = '']) => ({ id, at: Date.parse(at) })),
    arrivals(ids) {
      const numbers = new Map(ids.map((id, number) => [id, number]))
      const last = ids.map(() => 0)
      for (const steps of progress) {
        let next = 0
        for (const { id, at } of steps) {
          const number = numbers.get(id) ?? -1
          for (; next <= number; next++) last[next] = Math.max(last[next] ?? 0, at)
        }
        for (; next < ids.length; next++) last[next] = Number.POSITIVE_INFINITY
      }
      return last
    },
    close() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
