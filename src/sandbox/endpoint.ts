import type { IncomingMessage, ServerResponse } from 'node:http'
import { decide, errorIn, type Plan } from './protocol.ts'
import { type ReceivedRequest, readRequest, type Way } from './request.ts'
import { faults, type OpenCall, type ScriptedResponse } from './scripted-responses.ts'
import { after, type Handler, plain, readBody } from './server.ts'
import { soapBody, wsdl, xmlType } from './soap.ts'
import type { Call, State } from './state.ts'

/** As PHP labels what it prints; a client that looks at it is wrong. */
const phpType = 'text/html; charset=UTF-8'
const maxBodyBytes = 32 * 1024 * 1024

/** What each path speaks. */
const paths: readonly [RegExp, Way][] = [
  [/^\/api\/http\/?$/, 'http'],
  [/^\/api\/basic\/?$/, 'basic'],
  [/^\/api\/json(\/|\/[^/]+\/[^/]+)?$/, 'json'],
  [/^\/api\/soap\/?$/, 'soap'],
]

const record = (state: State, request: IncomingMessage, path: string, received: ReceivedRequest): Call => {
  const { redactor } = state
  const body = redactor.body(received.bytes, received.contentType, received.error === undefined)
  const headers = Object.entries(request.headers).map(([name, value]) => [redactor.text(name), redactor.header(name, String(value))])
  return state.record({
    at: new Date(state.now()).toISOString(),
    httpMethod: request.method ?? '',
    path,
    transport: received.transport,
    contentType: redactor.header('content-type', received.contentType),
    headers: Object.fromEntries(headers),
    query: redactor.query(received.query),
    body: body.toString(),
    bodyBase64: body.toString('base64'),
    params: received.params.map(redactor.param),
  })
}

const isLiteral = ({ status, body }: ScriptedResponse) => status !== undefined || body !== undefined

/** Whether the call has its effect before this answer. */
const takes = (answer: ScriptedResponse) => answer.takes ?? (answer.fault ? answer.fault !== 'reset' : !isLiteral(answer))

/** One call in progress: what a regular answer and every fault are made of, and the record of how it ended. */
function openExchange(state: State, call: Call, response: ServerResponse, status: number, headers: Record<string, string>, type: string) {
  let endedByUs = false
  const closed = () => {
    call.closedByPeer = !endedByUs && !response.writableFinished
    state.changed()
  }
  if (response.destroyed) closed()
  else response.on('close', closed)

  const begin: OpenCall['begin'] = (length, more = {}) => {
    response.setHeader('content-type', type)
    if (length !== undefined) response.setHeader('content-length', length)
    for (const [name, value] of Object.entries({ ...more, ...headers, 'X-Sandbox': 'true' })) response.setHeader(name, value)
    return response.writeHead(status)
  }
  return {
    begin,
    finish: (body: Buffer | string) => {
      begin(Buffer.byteLength(body)).end(body)
      state.answered(call, state.redactor.all({ status, body: String(body) }))
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

/** Path and query of a request target, in origin form or in the absolute form that a client behind a proxy sends. */
const target = /^(?:https?:\/\/[^/?#]*)?([^?]*)\??(.*)$/is

/** A plan as its way writes it. */
function written({ way, params }: ReceivedRequest, { status, body, shape }: Plan) {
  if (way === 'json') return { status, body, type: 'application/json' }
  if (way !== 'soap') return { status, body, type: phpType }
  return { type: xmlType, ...soapBody(body, Object.fromEntries(params).method ?? '', shape) }
}

/** Where the caller reaches this listener. */
const addressOf = ({ headers }: IncomingMessage, path: string) => `http://${headers.host ?? 'localhost'}${path}`

/** Afilnet's paths: the two that its manual describes, and the two that the sandbox makes up on the standards. */
export function createEndpoint(state: State): Handler {
  return async (request, response) => {
    const [, path = '', query = ''] = target.exec(request.url ?? '') ?? []
    if (path === '/oauth/token') return state.oauth.endpoint(request, response)
    const [, way] = paths.find(([pattern]) => pattern.test(path)) ?? []
    if (way === undefined)
      return plain(
        response,
        404,
        'This is a sandbox of Afilnet: it answers at /api/http/, /api/basic/, /api/json/, /api/soap/ and /oauth/token',
      )
    if (way === 'soap' && request.method === 'GET') {
      if (!/^wsdl$/i.test(query)) return plain(response, 404, 'The WSDL is at /api/soap/?wsdl')
      return void response.writeHead(200, { 'content-type': xmlType }).end(wsdl(addressOf(request, path)))
    }

    const bytes = await readBody(request, maxBodyBytes)
    if (!bytes) return plain(response, 413, `A body has at most ${maxBodyBytes} bytes here`)

    const received = await readRequest(request, path, query, bytes, way)
    const call = record(state, request, path, received)
    const wrongMethod = !['GET', 'POST'].includes(request.method ?? '')
    const error = wrongMethod ? 'Afilnet takes GET and POST' : errorIn(received)
    if (error !== undefined) {
      const headers = wrongMethod ? { allow: 'GET, POST' } : {}
      openExchange(state, call, response, wrongMethod ? 405 : 400, headers, 'text/plain; charset=utf-8').finish(`${error}\n`)
      return state.changed()
    }

    const given = Object.fromEntries(received.params)
    const plan = decide(received, state)
    const regular = written(received, plan)
    const answer = state.queued(given.method, given.destination) ?? plan.magic ?? {}
    if (takes(answer)) plan.take()

    const status = answer.status ?? regular.status
    const challenge =
      plan.status === 401 ? { 'www-authenticate': way === 'json' ? 'Bearer error="invalid_token"' : 'Basic realm="Afilnet"' } : {}
    const body = Buffer.from(answer.body ?? (isLiteral(answer) && !answer.fault ? '' : regular.body))
    // Tells the gateway that this answer says nothing about other calls.
    const mark = plan.magic && !isLiteral(answer) ? { 'X-Sandbox-Magic': 'true' } : {}
    const exchange = openExchange(state, call, response, status, { ...challenge, ...mark, ...answer.headers }, regular.type)
    after((answer.delayMs ?? 0) + state.latencyMs, answer.held, response, () => {
      if (answer.fault) faults[answer.fault]({ ...exchange, body })
      else exchange.finish(body)
    })
    state.changed()
  }
}
