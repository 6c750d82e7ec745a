import type { FastifyReply } from 'fastify'
import { Problem } from '../problem/problem.ts'
import { type CallerConnections, connectionOf } from './connections.ts'
import type { Check, Cleanup, Completion } from './request-steps.ts'

type SlowReaderOptions = { connections: CallerConnections; readerTimeoutMs: number; maxWaitingBytes: number }

declare module 'fastify' {
  interface FastifyReply {
    /** When the answer began to leave. */
    sentAt?: number
    /** Bytes of the answer, until the caller has taken all of them. */
    waitingBytes?: number
    /** Other answers of its connection were due before it. */
    isBehind?: boolean
  }
}

/** Smaller answers are never refused for want of room. */
const alwaysSentBytes = 65_536

/** So many requests may stand behind others on all connections together: each takes about 10 kB, and thousands come in one packet. */
const maxBehind = 8_192

/**
 * Bounds how much memory answers may take while their callers read them, and closes the connections of callers that do not read.
 *
 * A caller may hold as many bytes as are still free: one alone gets half of the room, and the next caller always finds some.
 */
export function createSlowReaders({ connections, readerTimeoutMs, maxWaitingBytes }: SlowReaderOptions) {
  const withoutKey = { bytes: 0 }
  let waitingBytes = 0
  let behind = 0

  /** Node stops reading from a caller that does not read, but what has come by then is one request after the other. */
  const admit: Check = (request, reply) => {
    const { socket, open } = connectionOf(request.raw.socket)
    if (open.length === 1) return undefined
    reply.isBehind = true
    behind++
    if (open.length <= maxBehind - behind) return undefined
    socket.destroy()
    return reply
  }

  const complete: Completion = (request, reply, payload) => {
    // A stream counts as nothing: it is never whole in memory, or it shares its bytes, as the files of the docs page do.
    const bytes = typeof payload === 'string' || payload instanceof Uint8Array ? Buffer.byteLength(payload) : 0
    const holder = request.caller?.waiting ?? withoutKey
    const tooMuch = bytes > alwaysSentBytes && holder.bytes + bytes > maxWaitingBytes - waitingBytes
    // Afilnet may have marked unread messages as read: the caller cannot ask for them again.
    if (tooMuch && !request.call?.unsafeStarted) {
      throw new Problem('overloaded', { detail: 'Too many answers wait for slow readers.' })
    }
    reply.sentAt = performance.now()
    reply.waitingBytes = bytes
    holder.bytes += bytes
    waitingBytes += bytes
    return payload
  }

  const release: Cleanup = ({ caller }, { waitingBytes: bytes = 0, isBehind }) => {
    if (isBehind) behind--
    const holder = caller?.waiting ?? withoutKey
    holder.bytes -= bytes
    waitingBytes -= bytes
  }

  /** Runs about once a second; a timer for each answer cost more. */
  function closeSlowConnections() {
    const latest = performance.now() - readerTimeoutMs
    const isLate = ({ sentAt }: FastifyReply) => sentAt !== undefined && sentAt < latest
    // Only the first answer can leave; those after it may have to wait for a large file, for Afilnet or for the end of a stream.
    for (const { socket, open, idleSince } of connections.all) if (open[0] && idleSince < latest && isLate(open[0])) socket.destroy()
  }

  return { admit, complete, release, closeSlowConnections }
}
