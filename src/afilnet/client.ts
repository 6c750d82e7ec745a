import { type Dispatcher, Pool } from 'undici'
import type { Cancellation } from '../lib/cancellation.ts'
import { createPlaces, type Places } from '../lib/fair-queue.ts'
import { readEnvelope } from './envelope.ts'
import { exchange, hasPlace, type Machinery, overloaded } from './exchange.ts'
import { failures, UpstreamError } from './faults.ts'
import type { Operation, Params, Row } from './operations.ts'
import { maxGetChars, type TransportName, transports } from './transports.ts'

export type ClientOptions = {
  url: URL
  transport: TransportName
  user: string
  password: string
  /** Calls at one time; as many again may wait. */
  connections: number
  /** Those of all accounts together, which share the room for answers. */
  allConnections?: () => number
  /** The whole budget of one call, waiting included. */
  timeoutMs: number
  /** How much longer a call may live whose answer is still of use after its deadline. */
  lateMs: number
  maxResponseBytes: number
  /** Shared by all accounts: who may hold an answer larger than its even share. */
  largeAnswers: Places
  /** Told at the first answer that bears the sandbox's mark. */
  onSandbox?: () => void
  /** Sees every exchange as it is on the wire. */
  watch?: Dispatcher.DispatcherComposeInterceptor
}

export type CallOptions = {
  /** On whose behalf: places are shared fairly among callers. */
  caller: string
  /** What is left of the budget. */
  timeoutMs: number
  /** Asked when a place comes free after a wait; throws if the call is not to be made any more. */
  recheck?: () => void
  /** Told when the request leaves. */
  begun?: (() => void) | undefined
  /** Ends a call that nobody waits for any more. Never with an operation that is not safe. */
  cancellation?: Cancellation | undefined
  /** Given the answer to come, when the deadline passes after the request left; `undefined` ends the call then. */
  late?: (answer: Promise<unknown>) => void
  /** Given what makes room for other large answers, if this is one: to be called once its bytes are no longer needed. */
  hold?: (leave: () => void) => void
}

/** An operation with its parameters, ready to leave. */
export type Ready<O extends Operation> = (options: CallOptions) => Promise<Row<O>[]>

export type Client = {
  /** Writes the request; throws if the transport cannot carry it. */
  prepare<O extends Operation>(operation: O, params: Params<O>): Ready<O>
  /** Throws if a call that began now would be refused for want of a place. */
  admit(operation: Operation, caller: string): void
  /** Calls that hold a place, and those that wait for one. */
  load(): { inFlight: number; queued: number }
  /** Runs one operation and gives the bytes of its answer, whatever they say. */
  fetch<O extends Operation>(operation: O, params: Params<O>, options: CallOptions): Promise<Uint8Array>
  /** Runs one operation; rejects with an `UpstreamError` that says what is known of its outcome. */
  call<O extends Operation>(operation: O, params: Params<O>, options: CallOptions): Promise<Row<O>[]>
  /** Lets calls under way end. */
  close(): Promise<void>
  /** Ends all calls at once. */
  destroy(): Promise<void>
}

/** At most seven answers grow beyond an even share of one full answer: eight full answers in memory, and no deadlock. */
export const createLargeAnswers = () => createPlaces(7, Number.POSITIVE_INFINITY)

/** What one of several accounts gets of it: should its answers never come to an end, some room is left for those of the others. */
export function shareLargeAnswers(all: Places): Places {
  const own = createPlaces(4, Number.POSITIVE_INFINITY)
  return {
    ...own,
    enter({ caller, go }) {
      let leaveAll: (() => void) | undefined
      const enterAll = () => {
        leaveAll = all.enter({ caller, go })
      }
      const leaveOwn = own.enter({ caller, go: enterAll })
      return () => {
        leaveAll?.()
        leaveOwn?.()
      }
    },
  }
}

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
  const machinery: Machinery = {
    ...options,
    pool: options.watch ? pool.compose(options.watch) : pool,
    places: createPlaces(connections, connections),
    evenShare: () => Math.floor(maxResponseBytes / (options.allConnections?.() ?? connections)),
    held: { ms: 0, of: 0 },
    heldBy: new Map(),
    lateCalls: 0,
  }

  function write<O extends Operation>(operation: O, params: Params<O>) {
    const request = transports[transport](url.pathname, options, operation, params)
    if (request.method === 'GET' && url.origin.length + request.path.length > maxGetChars) {
      throw new UpstreamError(failures.requestTooLong, operation)
    }
    return request
  }

  function prepare<O extends Operation>(operation: O, params: Params<O>): Ready<O> {
    const request = write(operation, params)
    return async ({ late, ...call }) => {
      const read = (bytes: Uint8Array) => readEnvelope(operation, bytes).rows
      return read(await exchange(machinery, operation, request, { ...call, ...(late && { late: answer => late(answer.then(read)) }) }))
    }
  }

  return {
    prepare,
    admit(operation, caller) {
      if (!hasPlace(machinery, operation, caller, timeoutMs)) throw overloaded(machinery, operation, caller)
    },
    load: () => machinery.places.load(),
    fetch: async (operation, params, { late: _, ...call }) => exchange(machinery, operation, write(operation, params), call),
    call: async (operation, params, call) => prepare(operation, params)(call),
    close: () => pool.close(),
    destroy: () => pool.destroy(),
  }
}
