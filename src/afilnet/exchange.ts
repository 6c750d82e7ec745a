import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, errors } from 'undici'
import type { Cancellation } from '../lib/cancellation.ts'
import type { Places } from '../lib/fair-queue.ts'
import { type Fault, failures, faults, UpstreamError } from './faults.ts'
import type { Operation } from './operations.ts'
import type { WireRequest } from './transports.ts'

/** A moving mean of up to sixteen values; 0 while there was none. */
export type Mean = { ms: number; of: number }

/** What all calls of one account share. */
export type Machinery = {
  pool: Dispatcher
  connections: number
  timeoutMs: number
  lateMs: number
  largeAnswers: Places
  onSandbox?: () => void
  places: Places
  /** Bytes that every answer may have without waiting for room. */
  evenShare: () => number
  /** How long a call holds its place. */
  held: Mean
  /** The same of each caller's calls. */
  heldBy: Map<string, Mean>
  /** Calls that live on after their deadline; at most a quarter of the places. */
  lateCalls: number
}

type ExchangeOptions = {
  caller: string
  timeoutMs: number
  recheck?: () => void
  begun?: (() => void) | undefined
  cancellation?: Cancellation | undefined
  late?: (answer: Promise<Uint8Array>) => void
  hold?: ((leave: () => void) => void) | undefined
}

/** One request and its answer's bytes, inside one deadline. The place is kept until undici has let go of the request. */
export function exchange(
  machinery: Machinery,
  operation: Operation,
  request: WireRequest,
  { caller, timeoutMs, recheck, begun, cancellation, late, hold }: ExchangeOptions,
): Promise<Uint8Array> {
  return new Promise((firstResolve, firstReject) => {
    let resolve = firstResolve
    let reject: (reason: unknown) => void = firstReject
    const deadline = performance.now() + timeoutMs
    const chunks: Uint8Array[] = []
    let size = 0
    let settled = false
    let startedAt: number | undefined
    let controller: Dispatcher.DispatchController | undefined // from the moment on which the request leaves
    let answering = false
    let isLate = false
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
      settle(() => reject(cancellation?.reason))
      stop()
    }
    const stop = () => (startedAt === undefined ? end() : controller?.abort(new Error('the call is over')))
    const end = () => {
      clearTimeout(timer)
      stay?.()
      if (isLate) machinery.lateCalls--
      if (startedAt !== undefined) learn(machinery, caller, performance.now() - startedAt)
      // Not inside undici's callback, where this connection still counts as busy, and not before whoever
      // is next can know what this answer means for it.
      setImmediate(() => leave?.())
    }

    const expire = () => {
      if (late && controller && !settled && !isLate && machinery.lateCalls < maxLateCalls(machinery)) return liveOn(late)
      if (startedAt === undefined) return refuse()
      fail(controller ? failures.timeout : failures.unreachable)
      stop()
    }
    /** Who cannot be served in time is better off elsewhere at once than after the whole budget. */
    const refuse = () => {
      settle(() => reject(overloaded(machinery, operation, caller)))
      end()
    }
    /** The caller hears of the timeout; whatever comes later is for `late`. */
    const liveOn = (tell: (answer: Promise<Uint8Array>) => void) => {
      isLate = true
      machinery.lateCalls++
      timer = setTimeout(expire, machinery.lateMs)
      const tooLate = new UpstreamError(failures.timeout, operation)
      firstReject(tooLate)
      tell(
        new Promise((lateResolve, lateReject) => {
          resolve = lateResolve
          reject = lateReject
        }),
      )
    }
    const { places } = machinery
    const waits = places.ahead(caller) > 0
    let timer = setTimeout(expire, Math.max(0, waits ? timeoutMs - needsMs(machinery, operation, caller) : timeoutMs))
    const stay = cancellation?.onCancel(abandon)

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
        if (leaveLarge || size <= machinery.evenShare()) return
        let granted = false
        const go = () => {
          granted = true
          queueMicrotask(() => flow.resume()) // not inside undici's callback for the answer that made room
        }
        leaveLarge = machinery.largeAnswers.enter({ caller, go })
        if (!granted) flow.pause()
      },
      onResponseEnd() {
        const [first, ...more] = chunks
        const bytes = first && more.length === 0 ? first : Buffer.concat(chunks)
        if (leaveLarge && hold && !settled) {
          hold(leaveLarge)
          leaveLarge = undefined
        }
        settle(() => resolve(bytes))
        end()
      },
      onResponseError(_, error) {
        fail(controller ? faultOfError(error, answering) : failures.unreachable)
        end()
      },
    }

    const enter = () => {
      if (settled) return // given up in the same breath in which a place became free
      if (waits) {
        const leftMs = deadline - performance.now()
        if (leftMs < needsMs(machinery, operation, caller)) return refuse()
        try {
          recheck?.()
        } catch (error) {
          settle(() => reject(error))
          return end()
        }
        clearTimeout(timer)
        timer = setTimeout(expire, Math.max(0, leftMs))
      }
      startedAt = performance.now()
      begun?.()
      machinery.pool.dispatch({ ...request }, handler)
    }
    const leave = hasPlace(machinery, operation, caller, timeoutMs) ? places.enter({ caller, go: enter, evict: refuse }) : undefined
    if (!leave) refuse()
    if (cancellation?.reason) abandon()
  })
}

/** Late calls have their own bound, and would make the rest look slow. */
function learn({ held, heldBy, timeoutMs }: Machinery, caller: string, heldMs: number) {
  const own = heldBy.get(caller) ?? { ms: 0, of: 0 }
  heldBy.set(caller, own)
  for (const mean of [held, own]) {
    mean.of = Math.min(mean.of + 1, 16)
    mean.ms += (Math.min(heldMs, timeoutMs) - mean.ms) / mean.of
  }
}

/**
 * What must be left of the budget for a call that comes out of the queue: a send that leaves with less would end as unknown.
 *
 * As long as this caller's own calls take, so that those of others do not keep it out; a read can do no harm, and may try with half.
 */
const needsMs = ({ heldBy, timeoutMs }: Machinery, { safe }: Operation, caller: string) =>
  Math.min(heldBy.get(caller)?.ms ?? 0, safe ? timeoutMs / 2 : timeoutMs)

const maxLateCalls = ({ connections }: Machinery) => Math.floor(connections / 4)

/** How long one who comes now would wait for a place, as far as one can tell. */
const waitMs = ({ places, held, connections, lateCalls }: Machinery, caller: string) =>
  (places.ahead(caller) * held.ms) / (connections - lateCalls)

/** Whether a place is free for the caller, or will be so early that the call can end within its budget. */
export function hasPlace(machinery: Machinery, operation: Operation, caller: string, timeoutMs: number) {
  const { places } = machinery
  if (places.ahead(caller) === 0) return true
  return places.admits(caller) && waitMs(machinery, caller) + needsMs(machinery, operation, caller) < timeoutMs
}

export const overloaded = (machinery: Machinery, { safe }: Operation, caller: string) =>
  new UpstreamError(failures.overloaded, { safe, retryAfterS: Math.max(1, Math.ceil(waitMs(machinery, caller) / 1000)) })

function faultOfStatus(status: number): Fault | undefined {
  if (status < 300) return undefined
  if (status < 400) return failures.redirect
  if (status === 401) return faults.INCORRECT_USER_PASSWORD
  if (status === 429) return failures.rateLimited
  return status < 500 ? failures.clientError : failures.serverError
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
