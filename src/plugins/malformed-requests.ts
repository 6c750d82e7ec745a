import { randomUUID } from 'node:crypto'
import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Observe } from '../events.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { Problem, problemBody } from '../problem/problem.ts'
import { securityHeaders } from './common-headers.ts'

const maxTargetBytes = 8_192

/** How long a refused caller may go on sending: closing at once would reset the answer away before it is read. */
const lingerMs = 15_000

type Exchange = { request: FastifyRequest; reply: FastifyReply }

/** The requests of a connection that have no whole answer yet, and its latest one. */
const exchanges = new WeakMap<Socket, Exchange[]>()

const answered = ({ reply: { raw } }: Exchange) => raw.writableFinished || raw.destroyed

/** Refuses, as problems, what Node would answer in its own words or not at all. */
export const http = fp<{ base: string; observe: Observe }>(async function http(app, { base, observe }) {
  const allowed = allowedMethods(app)

  // Node answers an odd Expect with a bare 417; here it goes the way of every request.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  app.server.on('connect', ({ url = '', headers }, socket) => {
    const path = pathOf(url)
    const allow = (path?.startsWith('/') && allowed(path)) || 'GET, HEAD, POST'
    socket.on('error', () => socket.destroy()) // from here on Node leaves the socket, and its errors, to us
    answerRaw(socket as Socket, 'method-not-allowed', base, observe, { allow, 'x-request-id': requestIdOf(headers) })
  })

  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw
    const open = exchanges.get(socket)
    const exchange = { request, reply }
    if (open) open.splice(0, open.length, ...open.filter(exchange => !answered(exchange)), exchange)
    else exchanges.set(socket, [exchange])
    done(refusalOf(request))
  })

  function refusalOf(request: FastifyRequest): Problem | undefined {
    const { headers, rawHeaders, httpVersion, url = '' } = request.raw
    const refused = (detail: string) => new Problem('invalid-request', { detail })
    if (url.length * 3 > maxTargetBytes && Buffer.byteLength(url) > maxTargetBytes) return new Problem('uri-too-long')
    if (httpVersion === '1.1' && !headers.host) return refused('HTTP/1.1 requires a Host header')
    if (repeats(rawHeaders, 'host')) return refused('There is more than one Host header')
    if (repeats(rawHeaders, 'content-type')) return refused('There is more than one Content-Type header')
    if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') return new Problem('expectation-failed')
    if (!request.is404) return undefined
    const path = pathOf(url)
    if (path === undefined) return new Problem('invalid-request')
    const allow = allowed(path)
    return allow ? new Problem('method-not-allowed', { headers: { allow } }) : new Problem('not-found')
  }

  app.addHook('onSend', ({ raw }, _, payload, done) => {
    if (!raw.complete) raw.socket.destroySoon = () => linger(raw.socket)
    done(null, payload)
  })
})

/** Whether a header came more than once; of some, Node keeps only the first. */
function repeats(rawHeaders: readonly string[], name: string) {
  let times = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === name.length && rawHeaders[i]?.toLowerCase() === name) times++
  }
  return times > 1
}

/** The caller's id of a request, if it has the form of one, or a new one. */
export function requestIdOf({ 'x-request-id': given }: IncomingHttpHeaders): string {
  return typeof given === 'string' && /^[A-Za-z0-9_-]{8,64}$/.test(given) ? given : randomUUID()
}

/** Finds the methods of the route whose pattern fits a path, since Fastify answers 404 to a wrong method. */
function allowedMethods(app: FastifyInstance) {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set()
    for (const name of [method].flat()) known.add(name)
    if (known.has('HEAD')) known.add('GET') // Fastify tells only of the HEAD of a prefix with a slash
    methods.set(url, known)
  })
  return (path: string) => {
    const segments = path.split('/')
    for (const [url, known] of methods) {
      const pattern = url.split('/')
      const isOpen = pattern.at(-1) === '*'
      const fits =
        (isOpen ? pattern.length <= segments.length : pattern.length === segments.length) &&
        pattern.every((part, i) => part === '*' || part.startsWith(':') || part === segments[i])
      if (fits) return [...known].sort().join(', ')
    }
    return undefined
  }
}

/** The path of a target as the router reads it: without origin and query, escapes decoded but for those of separators; `undefined` if it cannot be. */
function pathOf(target: string): string | undefined {
  const [path = ''] = target.replace(/^https?:\/\/[^/]*/i, '').split(/[?#]/, 1)
  try {
    return decodeURI(path)
  } catch {
    return undefined
  }
}

/** Answers a connection whose request Node could not read, in its turn: an answer that is owed to an earlier request goes first. */
export function onClientError(base: string, observe: Observe) {
  const refused = new WeakSet<Socket>() // Node tells of every further piece that it cannot read
  return function clientError(this: FastifyInstance, error: ConnectionError, socket: Socket) {
    if (refused.has(socket)) return
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    refused.add(socket)
    // What came in the same packet has to pass its hooks first.
    setImmediate(() => answerInTurn(this, codeOf(error), socket))
  }

  function answerInTurn(app: FastifyInstance, code: ProblemCode, socket: Socket) {
    const open = exchanges.get(socket) ?? []
    const half = open.find(({ request }) => !request.raw.complete)
    if (half && !half.reply.sent && !half.request.call?.unsafeStarted) {
      app.sendProblem(new Problem(code, { headers: { connection: 'close' } }), half.request, half.reply)
      return
    }
    const owed = open.filter(exchange => !answered(exchange)).map(({ reply }) => new Promise(resolve => reply.raw.once('close', resolve)))
    Promise.all(owed).then(() => (half ? linger(socket) : answerRaw(socket, code, base, observe)))
  }
}

function codeOf({ code, rawPacket }: ConnectionError): ProblemCode {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request-timeout'
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return 'payload-too-large'
  if (code !== 'HPE_HEADER_OVERFLOW') return 'invalid-request'
  return new RegExp(`^[A-Z]+ \\S{${maxTargetBytes + 1}}`).test(String(rawPacket ?? '')) ? 'uri-too-long' : 'headers-too-large'
}

function answerRaw(socket: Socket, code: ProblemCode, base: string, observe: Observe, headers: Record<string, string> = {}) {
  const problem = new Problem(code)
  const requestId = headers['x-request-id'] ?? randomUUID()
  const body = problemBody(problem, { base, requestId, instance: randomUUID() })
  const payload = JSON.stringify(body)
  const lines = Object.entries({
    ...securityHeaders,
    'x-request-id': requestId,
    'cache-control': 'no-store',
    'content-type': 'application/problem+json; charset=utf-8',
    'content-length': String(Buffer.byteLength(payload)),
    connection: 'close',
    ...problem.headers,
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  observe('connectionRefused', { status: body.status, code, requestId })
  socket.write(`HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}\r\n${lines.join('')}\r\n${payload}`)
  linger(socket)
}

/** Says that no more will be said, and drops what the caller still sends, for a while. */
function linger(socket: Socket) {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref()
  socket.once('close', () => clearTimeout(timer))
}
