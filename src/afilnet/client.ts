import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, errors, Pool } from 'undici'
import { readEnvelope } from './envelope.ts'
import { type Fault, failures, faults, UpstreamError } from './faults.ts'
import type { Operation, Params, Row } from './operations.ts'
import { createPlaces, type Places } from './places.ts'
import { maxGetChars, type TransportName, transports, type WireRequest } from './transports.ts'

export type ClientOptions = {
  url: URL
  transport: TransportName
  user: string
  password: string
  /** Calls at one time; as many again may wait. */
  connections: number
  /** The whole budget of one call, waiting included. */
  timeoutMs: number
  maxResponseBytes: number
  /** Shared by all accounts: who may hold an answer larger than its even share. */
  largeAnswers: Places
  /** Told at the first answer that bears the sandbox's mark. */
  onSandbox?: () => void
}

export type Client = {
  /**
   * Runs one operation; rejects with an `UpstreamError` that says what is known of its outcome.
   *
   * `signal`, not yet aborted, ends a call that nobody waits for any more. Never pass one with an operation that is not safe.
   */
  call<O extends Operation>(operation: O, params: Params<O>, signal?: AbortSignal): Promise<Row<O>[]>
  close(): Promise<void>
}

/** At most seven answers grow beyond an even share of one full answer: eight full answers in memory, and no deadlock. */
export const createLargeAnswers = () => createPlaces(7, Number.POSITIVE_INFINITY)

export function createClient(options: ClientOptions): Client {
  const { url, transport, connections, timeoutMs, maxResponseBytes } = options
  const pool = new Pool(url.origin, {
    connections,
    pipelining: 1,
    allowH2: false,
    maxResponseSize: maxResponseBytes,
    headersTimeout: 0, // the deadline of the call ends it, a drip included
    bodyTimeout: 0,
    keepAliveTimeout: 4_000, // an idle connection that the far side closes fails the send on it
    keepAliveMaxTimeout: 10_000,
    connect: { timeout: Math.min(timeoutMs, 5_000), rejectUnauthorized: true, minVersion: 'TLSv1.2', autoSelectFamily: true },
  })
  const places = createPlaces(connections, connections)
  const evenShare = Math.floor(maxResponseBytes / connections)

  return {
    async call(operation, params, signal) {
      const request = transports[transport](url.pathname, options, operation, params)
      if (request.method === 'GET' && url.origin.length + request.path.length > maxGetChars) {
        throw new UpstreamError(failures.requestTooLong, operation)
      }
      return readEnvelope(operation, await exchange({ ...options, pool, places, evenShare }, operation, request, signal))
    },
    close: () => pool.destroy(),
  }
}

type Machinery = ClientOptions & { pool: Pool; places: Places; evenShare: number }

/** One request and its answer's bytes, inside one deadline. The place is kept until undici has let go of the request. */
function exchange(machinery: Machinery, operation: Operation, request: WireRequest, signal?: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let size = 0
    let settled = false
    let dispatched = false
    let controller: Dispatcher.DispatchController | undefined // from the moment on which the request leaves
    let answering = false
    let leaveLarge: (() => void) | undefined

    const fail = (fault: Fault, retryAfterS?: number) =>
      settle(() => reject(new UpstreamError(fault, { safe: operation.safe, retryAfterS })))
    const settle = (tell: () => void) => {
      if (settled) return
      settled = true
      tell()
      chunks.length = 0
      leaveLarge?.()
    }
    const abandon = () => {
      settle(() => reject(signal?.reason))
      stop()
    }
    const stop = () => (dispatched ? controller?.abort(new Error('the call is over')) : end())
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abandon)
      queueMicrotask(() => leave?.()) // not inside undici's callback, where this connection still counts as busy
    }

    const timer = setTimeout(() => {
      fail(controller ? failures.timeout : dispatched ? failures.unreachable : failures.overloaded)
      stop()
    }, machinery.timeoutMs)
    signal?.addEventListener('abort', abandon, { once: true })

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(begun) {
        // undici neither cancels nor times out what waits for a connection, so what is over must be stopped here.
        if (settled) return begun.abort(new Error('the call is over'))
        controller = begun
      },
      onResponseStart(_, status, headers) {
        if (status < 200) return
        answering = true
        if (headers['x-sandbox'] === 'true') machinery.onSandbox?.()
        const fault = faultOfStatus(status)
        if (fault) fail(fault, fault === failures.rateLimited ? retryAfter(headers) : undefined)
      },
      onResponseData(flow, chunk) {
        if (settled) return
        chunks.push(chunk)
        size += chunk.length
        if (leaveLarge || size <= machinery.evenShare) return
        let granted = false
        leaveLarge = machinery.largeAnswers.enter(() => {
          granted = true
          queueMicrotask(() => flow.resume()) // not inside undici's callback for the answer that made room
        })
        if (!granted) flow.pause()
      },
      onResponseEnd() {
        const bytes = Buffer.concat(chunks)
        settle(() => resolve(bytes))
        end()
      },
      onResponseError(_, error) {
        fail(controller ? faultOfError(error, answering) : failures.unreachable)
        end()
      },
    }

    const leave = machinery.places.enter(() => {
      if (settled) return // given up in the same breath in which a place became free
      dispatched = true
      machinery.pool.dispatch({ ...request }, handler)
    })
    if (!leave) {
      fail(failures.overloaded)
      end()
    }
  })
}

function faultOfStatus(status: number): Fault | undefined {
  if (status < 300) return undefined
  if (status < 400) return failures.redirect
  if (status === 401) return faults.INCORRECT_USER_PASSWORD
  return status === 429 ? failures.rateLimited : failures.httpError
}

/** What went wrong after the request left. Anything unfamiliar must count as a lost connection: nothing of it is known. */
function faultOfError(error: Error, answering: boolean): Fault {
  if (error instanceof errors.ResponseExceededMaxSizeError) return failures.responseTooLarge
  return answering || unreadable.some(kind => error instanceof kind) ? failures.invalidResponse : failures.connectionLost
}

/** Ways in which undici says that an answer came and is none, even where its head was never complete. */
const unreadable = [errors.HTTPParserError, errors.ResponseContentLengthMismatchError, errors.HeadersOverflowError]

/** Seconds from a `Retry-After` in either of its forms. */
function retryAfter({ 'retry-after': value }: IncomingHttpHeaders): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - Date.now()) / 1000)
  return Number.isFinite(seconds) ? Math.max(1, seconds) : undefined
}
