import type { IncomingMessage, ServerResponse } from 'node:http'
import { complaintAbout, decide } from './protocol.ts'
import { type Arrival, readArrival } from './request.ts'
import { type Answer, type Exchange, faults } from './scripted-responses.ts'
import { type Handler, plain, readBody } from './server.ts'
import type { Call, Desk } from './state.ts'

/** As PHP labels what it prints; a client that looks at it is wrong. */
const phpType = 'text/html; charset=UTF-8'
const maxBodyBytes = 32 * 1024 * 1024

const doors = new Map([
  ['/api/http', false],
  ['/api/http/', false],
  ['/api/basic', true],
  ['/api/basic/', true],
])

const record = (desk: Desk, request: IncomingMessage, path: string, arrival: Arrival): Call => {
  const { censor } = desk
  const body = censor.body(arrival.bytes, arrival.contentType)
  const headers = Object.entries(request.headers).map(([name, value]) => [censor.text(name), censor.header(name, String(value))])
  return desk.record({
    at: new Date(desk.now()).toISOString(),
    httpMethod: request.method ?? '',
    path,
    transport: arrival.transport,
    contentType: censor.header('content-type', arrival.contentType),
    headers: Object.fromEntries(headers),
    query: censor.query(arrival.query),
    body: body.toString(),
    bodyBase64: body.toString('base64'),
    params: arrival.params.map(censor.param),
  })
}

const isLiteral = ({ status, body }: Answer) => status !== undefined || body !== undefined

/** Whether the call has its effect before this answer. */
const takes = (answer: Answer) => answer.takes ?? (answer.fault ? answer.fault !== 'reset' : !isLiteral(answer))

/** One call in progress: what a regular answer and every fault are made of, and the record of how it ended. */
function openExchange(desk: Desk, call: Call, response: ServerResponse, status: number, headers: Record<string, string>) {
  let endedByUs = false
  const closed = () => {
    call.closedByPeer = !endedByUs && !response.writableFinished
    desk.changed()
  }
  if (response.destroyed) closed()
  else response.on('close', closed)

  const begin: Exchange['begin'] = (length, more = {}) => {
    response.setHeader('content-type', phpType)
    if (length !== undefined) response.setHeader('content-length', length)
    for (const [name, value] of Object.entries({ ...more, ...headers, 'X-Sandbox': 'true' })) response.setHeader(name, value)
    return response.writeHead(status)
  }
  return {
    begin,
    finish: (body: Buffer | string) => {
      begin(Buffer.byteLength(body)).end(body)
      call.answer = desk.censor.all({ status, body: String(body) })
    },
    hangUp: (last = '') => {
      endedByUs = true
      response.socket?.write(last, () => response.socket?.destroy())
    },
    reset: () => {
      endedByUs = true
      response.socket?.resetAndDestroy()
    },
  }
}

/** Runs `then` after a while, unless the caller has left by then. */
const after = (delayMs: number, response: ServerResponse, then: () => void) => {
  if (delayMs <= 0) return then()
  const timer = setTimeout(then, delayMs)
  response.once('close', () => clearTimeout(timer))
}

/** Afilnet's two addresses. */
export function createFace(desk: Desk): Handler {
  return async (request, response) => {
    const [, path = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(request.url ?? '') ?? []
    const basic = doors.get(path)
    if (basic === undefined) return plain(response, 404, 'This is a sandbox of Afilnet: it answers at /api/http/ and /api/basic/')

    const bytes = await readBody(request, maxBodyBytes)
    if (!bytes) return plain(response, 413, `A body has at most ${maxBodyBytes} bytes here`)

    const arrival = await readArrival(request, query, bytes, basic)
    const call = record(desk, request, path, arrival)
    const wrongMethod = !['GET', 'POST'].includes(request.method ?? '')
    const complaint = wrongMethod ? 'Afilnet takes GET and POST' : complaintAbout(arrival)
    if (complaint !== undefined) {
      const headers = { 'content-type': 'text/plain; charset=utf-8', ...(wrongMethod && { allow: 'GET, POST' }) }
      openExchange(desk, call, response, wrongMethod ? 405 : 400, headers).finish(`${complaint}\n`)
      return desk.changed()
    }

    const given = Object.fromEntries(arrival.params)
    const plan = decide(arrival, desk, desk.world, desk.shape)
    const answer = desk.queued(given.method, given.destination) ?? plan.magic ?? {}
    if (takes(answer)) plan.take()

    const status = answer.status ?? plan.status
    const challenge = plan.status === 401 ? { 'www-authenticate': 'Basic realm="Afilnet"' } : {}
    const body = Buffer.from(answer.body ?? (isLiteral(answer) && !answer.fault ? '' : plan.body))
    const exchange = openExchange(desk, call, response, status, { ...challenge, ...answer.headers })
    after((answer.delayMs ?? 0) + desk.latencyMs, response, () => {
      if (answer.fault) faults[answer.fault]({ ...exchange, body })
      else exchange.finish(body)
    })
    desk.changed()
  }
}
