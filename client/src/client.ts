import createFetchClient, { type Client as FetchClient, type MaybeOptionalInit } from 'openapi-fetch'
import type { HttpMethod, PathsWithMethod, RequiredKeysOf, SuccessResponse } from 'openapi-typescript-helpers'
import type { components, paths } from './api.ts'
import { type EventOptions, type GatewayEvent, listen, type Open } from './events.ts'
import { checkAnswer, foreign, GatewayProblem, problemOf, unreachable } from './problem.ts'
import { type Chat, type Content, formOf, type Post, type SendOptions, sendSafely } from './send.ts'

export type { Chat, Content, components, EventOptions, GatewayEvent, paths, SendOptions }
export { GatewayProblem }

export type ClientOptions = {
  /** Where the gateway is, with its path if it has one. */
  baseUrl: string
  /** The API key or token; a function that fetches one is asked again, with `true`, when the gateway refuses it. */
  key: string | ((refused: boolean) => string | Promise<string>)
  /** Your own `fetch`; it resolves with the answer of every status, and throws only where there is none. */
  fetch?: ((request: Request) => Promise<Response>) | undefined
}

type Json = 'application/json'
type Init<Path extends keyof paths, Method extends HttpMethod & keyof paths[Path]> = MaybeOptionalInit<paths[Path], Method>
type InitParam<Init> = RequiredKeysOf<Init> extends never ? [Init?] : [Init]
type Answer<Operation> = Operation extends { responses: infer Responses extends Record<number | string, unknown> }
  ? SuccessResponse<Responses, Json>
  : never
/** One request; resolves with the body, and throws `GatewayProblem`. */
type Call<Method extends HttpMethod> = <Path extends PathsWithMethod<paths, Method>, Options extends Init<Path, Method>>(
  path: Path,
  ...init: InitParam<Options>
) => Promise<Answer<paths[Path][Method]>>

export type Client = {
  get: Call<'get'>
  post: Call<'post'>
  /** Sends one message or file, with one `Idempotency-Key` however often it must be repeated. */
  send(chat: Chat, content: Content, options?: SendOptions): Promise<components['schemas']['Send']>
  /** The events of the account or of a conversation, across lost connections and restarts. */
  events(options?: EventOptions): AsyncGenerator<GatewayEvent, void>
  /** The client of openapi-fetch beneath, for headers and 304; it throws `GatewayProblem` too. */
  http: FetchClient<paths, Json>
}

/** A client of one gateway with one key. */
export function createClient({ baseUrl, key, fetch = globalThis.fetch }: ClientOptions): Client {
  const keyFor = async (refused: boolean) => {
    try {
      return typeof key === 'function' ? await key(refused) : key
    } catch (cause) {
      throw isTypeError(cause) ? unreachable({ method: 'GET' }, cause) : cause // nothing has left, whatever the request is
    }
  }
  const ask = async (request: Request) => {
    try {
      return await fetch(request)
    } catch (cause) {
      if (request.signal.aborted || cause instanceof GatewayProblem) throw cause
      throw unreachable(request, cause) // a TypeError in most places, and anything with your own fetch
    }
  }
  const authorized = async (request: Request) => {
    const again = typeof key === 'function' ? request.clone() : undefined
    const response = await ask(withKey(request, await keyFor(false)))
    if (response.status !== 401 || !again) return response
    response.body?.cancel().catch(() => {}) // an answer that is not read holds its connection
    return ask(withKey(again, await keyFor(true)))
  }
  const http = createFetchClient<paths, Json>({ baseUrl, fetch: authorized })
  http.use({
    async onResponse({ request, response, schemaPath, options: { parseAs } }) {
      const { status, ok } = response
      if (status === 304 && request.method !== 'POST') return
      if (!ok) throw await problemOf(request, response)
      const isEmpty = request.method === 'DELETE' ? status === 204 : request.method === 'HEAD' || schemaPath === '/webhooks/{name}/redrive'
      if (parseAs !== 'stream') await checkAnswer(request, response, !isEmpty && parseAs === 'json')
    },
  })

  const post: Post = async (path, content, idempotencyKey, signal) => {
    const route =
      `/chats/{platform}/{platformId}/{destination}/${'message' in content && !('fileUrl' in content) && !('file' in content) ? 'messages' : 'files'}` as const
    const body = ('file' in content ? formOf(content) : content) as never // openapi-fetch sends a form as it is, and JSON leaves out what is undefined
    const params = { path, header: { 'Idempotency-Key': idempotencyKey } }
    const { data } = await http.POST(route, { params, body, ...(signal && { signal }) })
    return data as components['schemas']['Send'] // anything else has thrown
  }
  const openEvents: Open = async (query, last, signal) => {
    const headers = { accept: 'text/event-stream', ...(last !== undefined && { 'last-event-id': last }) }
    const { data, response } = await http.GET('/events', { params: { query }, headers, parseAs: 'stream', signal })
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw foreign({ method: 'GET' }, response)
    const stream = data as ReadableStream<Uint8Array> | null // anything else has thrown
    if (!stream?.getReader) throw new GatewayProblem(noStream) // otherwise the reader would open one after the other
    return stream
  }
  return {
    get: (async (path: never, init: never) => (await http.GET(path, init)).data) as never, // typed by `Client`
    post: (async (path: never, init: never) => (await http.POST(path, init)).data) as never,
    send: (chat, content, options) => sendSafely(post, chat, content, options),
    events: (options = {}) => listen(openEvents, options),
    http,
  }
}

/** Some places, and some packages for requests, have no web streams. */
const noStream = { code: 'unreadable-answer', title: 'This fetch has no stream to read', outcome: 'not_applied', retry: 'no' } as const

/** Of any realm: a test runner has another `TypeError` than its `fetch`. */
const isTypeError = (error: unknown) => (error as Error | undefined)?.name === 'TypeError'

function withKey(request: Request, key: string): Request {
  try {
    request.headers.set('authorization', `Bearer ${key}`)
    return request
  } catch {
    const title = 'The key has characters that no header can carry' // the error itself would show the key
    throw new GatewayProblem({ code: 'unusable-key', title, outcome: 'not_applied', retry: 'no' })
  }
}
