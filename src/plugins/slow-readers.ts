import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../problem/problem.ts'
import type { CallerConnections } from './connections.ts'
import type { Check, Cleanup, Completion } from './request-steps.ts'

type SlowReaderOptions = { connections: CallerConnections; readerTimeoutMs: number; maxWaitingBytes: number }

declare module 'fastify' {
  interface FastifyReply {
    /** When the answer began to leave. */
    sentAt?: number
    /** Bytes of the answer, or of the results that it is made of, until the caller has taken all of them. */
    waitingBytes?: number
    /** Other answers of its connection were due before it. */
    isBehind?: boolean
  }
}

/** Smaller answers are never refused for want of room. */
const alwaysSentBytes = 65_536

/** About how many copies of a tool's result are in memory until the answer has been sent: it goes as text in JSON in an event. */
const copiesOfResult = 4

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
  const admit: Check = ({ connection: { socket, open } }, reply) => {
    if (open.length === 1) return undefined
    reply.isBehind = true
    behind++
    if (open.length <= maxBehind - behind) return undefined
    socket.destroy()
    return reply
  }

  const complete: Completion = (request, reply, payload) => {
    reply.sentAt = performance.now()
    if (reply.waitingBytes !== undefined) return payload // counted as its results came
    // A stream counts as nothing: it is never whole in memory, or it shares its bytes, as the files of the docs page do.
    const size = typeof payload === 'string' || payload instanceof Uint8Array ? Buffer.byteLength(payload) : 0
    const isLarge = size > alwaysSentBytes
    const bytes = isLarge && 'isLightMyRequest' in request.raw ? size * copiesOfResult : size
    const holder = request.caller?.waiting ?? withoutKey
    const tooMuch = isLarge && holder.bytes + bytes > maxWaitingBytes - waitingBytes
    // Afilnet may have marked unread messages as read: the caller cannot ask for them again.
    if (tooMuch && !request.call?.unsafeStarted) {
      throw new Problem('overloaded', { detail: 'Too many answers wait for slow readers.' })
    }
    count(request, reply, bytes)
    return payload
  }

  function count({ caller }: FastifyRequest, reply: FastifyReply, bytes: number) {
    if (reply.raw.closed) return // its caller has left, and `release` has run
    const holder = caller?.waiting ?? withoutKey
    reply.waitingBytes = (reply.waitingBytes ?? 0) + bytes
    holder.bytes += bytes
    waitingBytes += bytes
  }

  /** Counts the result of an agent's call until the answer with it has left. That answer is never refused: some of the calls may have sent a message. */
  function hold(request: FastifyRequest, reply: FastifyReply, bytes: number) {
    count(request, reply, bytes * copiesOfResult)
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

  return { admit, complete, hold, release, closeSlowConnections }
}
