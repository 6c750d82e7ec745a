import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal, routes } from './control-routes.ts'
import { createHandle } from './handle.ts'
import { type Handler, readBody } from './server.ts'
import type { State } from './state.ts'

const maxBodyBytes = 64 * 1024 * 1024
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

const sameMachine = ({ headers: { host, origin } }: IncomingMessage) =>
  loopback.test(host ?? '') && (origin === undefined || loopback.test(origin.replace(/^https?:\/\//, '')))

async function readJson(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBody(request, maxBodyBytes)
  if (!bytes) throw new Refusal(413, `A body has at most ${maxBodyBytes} bytes`)
  if (bytes.length === 0) return undefined
  if (!/^application\/json *(;|$)/i.test(request.headers['content-type'] ?? ''))
    throw new Refusal(415, 'Expected content-type: application/json')
  try {
    return JSON.parse(bytes.toString())
  } catch {
    throw new Refusal(400, 'Expected JSON')
  }
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  // A page in a browser can make its own name point here, but it cannot make the browser say another name.
  if (!sameMachine(request)) throw new Refusal(403, 'Only for callers who address this machine by a loopback name')
  const [path = '', query] = (request.url ?? '').split('?')
  const methods = Object.hasOwn(routes, path) ? routes[path] : undefined
  if (!methods) throw new Refusal(404, 'Unknown path; GET / lists what there is')
  const method = request.method ?? ''
  const route = Object.hasOwn(methods, method) ? methods[method] : undefined
  if (!route) {
    response.setHeader('allow', Object.keys(methods).join(', '))
    throw new Refusal(405, `Expected ${Object.keys(methods).join(' or ')}`)
  }
  const user = new URLSearchParams(query).get('account')
  const account = user === null ? state.main : state.account(user)
  if (!account) throw new Refusal(404, 'Unknown account; POST /accounts makes one')
  return route[1]({ state, account, handle: createHandle(account, state.changed) }, await readJson(request))
}

/** What a person or another process sees and changes of the sandbox: the programmatic handle as JSON over HTTP. */
export function createControl(state: State): Handler {
  return async (request, response) => {
    const write = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
      response.end(`${JSON.stringify(state.redactor.all(body))}\n`)
    }
    try {
      const result = await handle(state, request, response)
      if (result === undefined) response.writeHead(204).end()
      else write(200, result)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      write(error.status, { error: error.message })
    }
  }
}
