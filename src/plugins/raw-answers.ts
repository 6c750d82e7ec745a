import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyInstance } from 'fastify'
import type { Observe } from '../events.ts'
import { networkOf } from '../lib/addresses.ts'
import { STATUS_CODES } from '../lib/node-http.ts'
import { Problem, problemBody } from '../problem/problem.ts'
import { requestIdOf, securityHeaders } from './common-headers.ts'
import { connectionOf } from './connections.ts'
import { type RequestCounter, tooManyRequests } from './rate-limit.ts'
import type { Completion } from './request-steps.ts'

/** How long a refused caller may go on sending: a socket closed at once loses the answer before the caller reads it. */
const lingerMs = 15_000

/** Lines a second; one address alone could write megabytes. */
const maxLogLines = 20

type RawAnswerOptions = { base: string; observe: Observe; mistakes: RequestCounter }

/** Answers what never becomes a request of Fastify's, straight to the socket: unreadable bytes and CONNECT. */
export function createRawAnswers({ base, observe, mistakes }: RawAnswerOptions) {
  const sample = createSample(maxLogLines)

  /** Answers a connection whose bytes Node cannot read, after the requests that came before. */
  function onClientError(this: FastifyInstance, error: ConnectionError, socket: Socket) {
    const connection = connectionOf(socket)
    if (connection.unreadable) return // Node reports every further piece that it cannot read
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    // The caller has left in the middle of a request. Node closes a connection that ends between two.
    if (error.code === 'HPE_INVALID_EOF_STATE' && connection.open.some(({ request }) => request.raw.complete)) return void socket.end()
    connection.unreadable = true
    const problem = problemOf(error)
    // What came in the same packet has to pass its checks first.
    setImmediate(() => {
      if (connection.answeredEarly?.complete === false) return lingeringClose(socket) // these bytes belong to a request that has its answer
      const half = connection.open.find(({ request }) => !request.raw.complete)
      if (half && !half.sent && !half.request.call?.unsafeStarted) {
        half.request.raw.removeAllListeners('error') // its reader would answer a second time at the end of the connection
        this.sendProblem(new Problem(problem.code, { ...problem.details, headers: { connection: 'close' } }), half.request, half)
        return
      }
      afterOpenRequests(socket, () => (half ? lingeringClose(socket) : answer(socket, problem, randomUUID())))
    })
  }

  /** Refuses a tunnel with all methods of its target, after the requests that came before. */
  function onConnect(app: FastifyInstance, request: IncomingMessage, socket: Socket) {
    const connection = connectionOf(socket)
    connection.unreadable = true
    // Node no longer looks after the socket, and only one that is read shows that its caller has left.
    socket.on('error', () => socket.destroy())
    socket.resume().on('end', () => socket.end())
    socket.on('close', () => {
      for (const { raw } of [...connection.open]) raw.destroy()
    })
    const allow = app.allowedMethods(request.url ?? '') ?? 'GET, HEAD, POST'
    const refusal = new Problem('method-not-allowed', { headers: { allow } })
    setImmediate(() => afterOpenRequests(socket, () => answer(socket, refusal, requestIdOf(request))))
  }

  function answer(socket: Socket, refusal: Problem, requestId: string) {
    if (!socket.writable) return void socket.destroy()
    const status = refusal.row.status === 400 ? mistakes.countHere(networkOf(socket.remoteAddress ?? '')) : undefined
    const problem = status?.isExceeded ? tooManyRequests('mistakes', status) : refusal
    const { code, row } = problem
    observe('connectionRefused', { status: row.status, code, requestId, ...(status?.isExceeded ? { sampled: false } : sample()) })
    socket.write(bytesOf(problem, { base, requestId }))
    lingeringClose(socket)
  }

  /** Takes from Node what it would answer itself: CONNECT, and an unknown Expect, which gets a bare 417 and goes the way of every request here. */
  function listen(app: FastifyInstance) {
    app.server.on('connect', (request, socket) => onConnect(app, request, socket as Socket)) // of a TCP listener
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  }

  return { onClientError, listen }
}

/** Says of each of many events whether to log it; the next logged one says how many were not. */
function createSample(maxPerSecond: number) {
  let second = 0
  let lines = 0
  let skipped = 0
  return () => {
    const now = Math.floor(performance.now() / 1_000)
    if (now !== second) {
      second = now
      lines = 0
    }
    if (lines++ >= maxPerSecond) {
      skipped++
      return { sampled: false }
    }
    const counted = { sampled: true, ...(skipped > 0 && { skipped }) }
    skipped = 0
    return counted
  }
}

function afterOpenRequests(socket: Socket, work: () => void) {
  const last = connectionOf(socket).open.at(-1) // answers leave in their order
  if (last) last.raw.once('close', work)
  else work()
}

function problemOf({ code, reason, rawPacket }: ConnectionError & { reason?: string }): Problem {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem('request-timeout')
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return new Problem('payload-too-large')
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Problem(/^[A-Z]+ \S{8193}/.test(String(rawPacket ?? '')) ? 'uri-too-long' : 'headers-too-large')
  }
  // The parser's reasons are constants; they repeat nothing of what came.
  return new Problem('invalid-request', { detail: `The request is not valid HTTP/1.1${reason ? `: ${reason}` : ''}.` })
}

function bytesOf(problem: Problem, { base, requestId }: { base: string; requestId: string }) {
  const body = problemBody(problem, { base, requestId, instance: randomUUID() })
  const payload = JSON.stringify(body)
  const headers = {
    ...securityHeaders,
    'x-request-id': requestId,
    'cache-control': 'no-store',
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': String(Buffer.byteLength(payload)),
    connection: 'close',
    ...problem.headers,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}\r\n${lines.join('')}\r\n${payload}`
}

/** Makes Node close the connection of a half-sent request slowly enough for the caller to read the answer. */
export const lingerAfterHalfRequest: Completion = ({ raw }, _, payload) => {
  if (!raw.complete) raw.socket.destroySoon = () => lingeringClose(raw.socket)
  return payload
}

/** Ends a connection, and drops what the caller still sends, for a while. */
function lingeringClose(socket: Socket) {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref()
  socket.once('close', () => clearTimeout(timer))
}
