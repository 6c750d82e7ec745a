import { connect, type Socket } from 'node:net'
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

/** Up to which events a stream had everything, and when. */
type Progress = { ids: string[]; at: number[] }

const event = /"at":"([^"]+)"[^\n]*?"messageId":"(\w+)"/g
const beforeId = '"messageId":"'
const endOfWrite = Buffer.from('\n\n\r\n') // of an event, and of its part of the answer
const openedAtOnce = 50
/** All sockets read into it, and each read is looked at before the next one: buffers of their own made the loader late. */
const buffer = Buffer.alloc(262_144)

/**
 * Opens streams on bare sockets, and looks only at the end of what comes: a client that read each event of each stream would be what is
 * measured. Only the first stream is read in full; all get the same bytes.
 */
export async function openStreams({ url }: Endpoint, count: number): Promise<Streams> {
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const read: string[] = []
  const progress = Array.from({ length: count }, (): Progress => ({ ids: [], at: [] }))
  const sockets: Socket[] = []
  const request = `GET /events HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${key}\r\naccept: text/event-stream\r\n\r\n`

  /** Resolves with its first bytes. */
  function open({ ids, at }: Progress, i: number): Promise<void> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    let id: string | undefined
    function take(bytes: number) {
      begin()
      const chunk = buffer.subarray(0, bytes)
      if (i === 0) read.push(chunk.toString('latin1'))
      const start = chunk.lastIndexOf(beforeId) + beforeId.length
      if (start >= beforeId.length) id = chunk.toString('latin1', start, chunk.indexOf('"', start))
      if (id === undefined || !chunk.subarray(-endOfWrite.length).equals(endOfWrite)) return true
      ids.push(id)
      at.push(Date.now())
      resolve()
      return true
    }
    const socket = connect({ port: Number(url.port), host: url.hostname, onread: { buffer, callback: take } })
    socket.on('error', () => socket.destroy()) // its events are missing then, and say so
    socket.on('close', begin)
    socket.write(request)
    sockets.push(socket)
    return begun
  }
  for (let from = 0; from < count; from += openedAtOnce)
    await Promise.all(progress.slice(from, from + openedAtOnce).map((progress, i) => open(progress, from + i)))

  return {
    first: Promise.race([first, sleep(20_000, undefined, { ref: false }).then(() => Promise.reject(new Error('no event came')))]),
    events: () => [...read.join('').matchAll(event)].map(([, at = '', id = '']) => ({ id, at: Date.parse(at) })),
    arrivals(ids) {
      const numbers = new Map(ids.map((id, number) => [id, number]))
      const last = ids.map(() => 0)
      for (const { ids: seen, at } of progress) {
        let next = 0
        for (const [i, id] of seen.entries()) {
          const number = numbers.get(id) ?? -1
          for (; next <= number; next++) last[next] = Math.max(last[next] ?? 0, at[i] ?? 0)
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
