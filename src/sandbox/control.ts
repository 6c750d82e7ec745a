import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Body, issuesIn, type Rule, rules } from './control-schema.ts'
import type { Shape } from './response-format.ts'
import type { Answer } from './scripted-responses.ts'
import { type Handler, readBody } from './server.ts'
import type { State } from './state.ts'

const maxBodyBytes = 64 * 1024 * 1024
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function check(body: unknown, rules: Record<string, Rule>, required: readonly string[] = []): Body {
  const issues = issuesIn(body, rules, required)
  if (issues.length > 0) throw new Refusal(400, issues.join('; '))
  return body as Body // without issues it is one
}

type Route = [about: string, run: (state: State, body: unknown) => unknown]

const routes: Record<string, Record<string, Route>> = {
  '/': { GET: ['this list', () => listing()] },
  '/calls': {
    GET: ['the calls received, in order', state => state.calls],
    DELETE: ['forgets the calls', state => void state.calls.splice(0)],
  },
  '/sent': { GET: ['the messages and files that were taken', state => state.world.sent] },
  '/answers': {
    POST: [
      `queues an answer for the next matching calls: ${Object.keys(rules.answer).join(', ')}`,
      (state, body) => {
        const { bodyBase64, ...answer } = check(body, rules.answer)
        const bytes = bodyBase64 === undefined ? {} : { body: Buffer.from(String(bodyBase64), 'base64') }
        state.queue({ ...answer, ...bytes } as Answer) // the rules above are those of the type
      },
    ],
  },
  '/shape': {
    PUT: [
      `changes how regular answers look: ${Object.keys(rules.shape).join(', ')}`,
      (state, body) => {
        const partial = check(body, rules.shape) as Partial<Shape> // the rules above are those of the type
        state.shape = { ...state.shape, ...partial }
        return state.shape
      },
    ],
  },
  '/latency': {
    PUT: [
      'delays every answer by { "ms": n }',
      (state, body) => {
        state.latencyMs = Number(check(body, rules.latency, ['ms']).ms)
        return { ms: state.latencyMs }
      },
    ],
  },
  '/messages': {
    POST: [
      'a customer writes in: platform, platformid, destination, message',
      (state, body) => {
        const names = Object.keys(rules.message)
        const message = check(body, rules.message, names) as Parameters<State['receive']>[0] // four strings, as checked
        const known = state.world.channels().map(({ platform, platformid }) => `${platform}/${platformid}`)
        if (!state.receive(message)) throw new Refusal(400, `platform, platformid: expected one of ${known.join(', ')}`)
      },
    ],
  },
  '/reset': { POST: ['forgets everything that happened and every scripted response', state => state.reset()] },
}

const listing = () =>
  Object.entries(routes).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, [about]]) => ({ request: `${method} ${path}`, about })),
  )

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
  const [path = ''] = (request.url ?? '').split('?')
  const methods = Object.hasOwn(routes, path) ? routes[path] : undefined
  if (!methods) throw new Refusal(404, 'Unknown path; GET / lists what there is')
  const method = request.method ?? ''
  const route = Object.hasOwn(methods, method) ? methods[method] : undefined
  if (!route) {
    response.setHeader('allow', Object.keys(methods).join(', '))
    throw new Refusal(405, `Expected ${Object.keys(methods).join(' or ')}`)
  }
  return route[1](state, await readJson(request))
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
