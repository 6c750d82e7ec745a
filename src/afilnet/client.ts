import type { Dispatcher } from 'undici'
import { Admission } from './admission.ts'
import { Connections } from './connections.ts'
import { createConnector } from './connector.ts'
import { readRows } from './envelope.ts'
import { type ClientState, Exchange, type ExchangeListener, type ExchangeOptions } from './exchange.ts'
import { failures, UpstreamError } from './faults.ts'
import type { LargeResponseSlots } from './large-responses.ts'
import type { Operation, Params, Row } from './operations.ts'
import type { ExchangeHandle, Protocol } from './protocol.ts'
import { maxGetChars, type RequestWriter, type TransportName, transports, type WireRequest } from './transports.ts'

export type ClientOptions = {
  url: URL
  transport: TransportName
  user: string
  password: string
  /** How the transports json and soap work; the others need none. */
  protocol?: Protocol | undefined
  /** Calls at one time; as many again may wait. */
  connections: number
  /** The whole budget of one call, waiting included. */
  timeoutMs: number
  /** How much longer a call may live whose result is still of use after its deadline. */
  lateMs: number
  maxResponseBytes: number
  /** What every response may have without waiting for room. All accounts share the room, so a reload may change it. */
  evenShare?: { readonly bytes: number }
  /** Who may hold more than that. */
  largeResponseSlots: LargeResponseSlots
  /** The egress proxy, perhaps with credentials. */
  proxyUrl?: URL | undefined
  /** Sees every exchange as it is on the wire. */
  watch?: Dispatcher.DispatcherComposeInterceptor
}

/** Afilnet for one account: what it takes to make a call, without any policy about when to make one. */
export class Client {
  readonly #state: ClientState
  readonly #url: URL
  readonly #write: RequestWriter
  readonly #protocol: Protocol | undefined

  constructor(options: ClientOptions) {
    const { protocol, connections, timeoutMs, maxResponseBytes, proxyUrl, watch } = options
    const { url } = protocol ?? options
    this.#url = url
    this.#protocol = protocol
    this.#write = protocol?.write ?? plainWriter(options)
    const connect = createConnector(Math.min(timeoutMs, 5_000), proxyUrl)
    this.#state = {
      ...options,
      admission: new Admission(options),
      connections: new Connections({ origin: url.origin, connect, calls: connections, maxResponseBytes, watch }),
      evenShare: options.evenShare ?? { bytes: Math.floor(maxResponseBytes / connections) },
      readsFaults: protocol?.readsFaults ?? false,
      isSandbox: false,
    }
  }

  /** Writes a request; throws an `UpstreamError` if the transport cannot carry it. */
  write(operation: Operation, params: Record<string, string | undefined>): WireRequest {
    const request = this.#write(operation, params)
    if (request.method === 'GET' && this.#url.origin.length + request.path.length > maxGetChars) {
      throw new UpstreamError(failures.requestTooLong, operation)
    }
    return request
  }

  /** An attempt at a call that is ready to `start`. */
  exchange(call: ExchangeOptions, listener: ExchangeListener): ExchangeHandle {
    return this.#protocol ? this.#protocol.attempt(this.#state, call, listener) : new Exchange(this.#state, call, listener)
  }

  /** Throws an `UpstreamError` if a call that began now would be refused for want of a slot. */
  admit(operation: Operation, caller: string) {
    const { admission } = this.#state
    if (!admission.canServe(operation, caller)) throw admission.overloaded(operation, caller)
  }

  /** Whether an answer has borne the sandbox's mark. */
  get isSandbox() {
    return this.#state.isSandbox
  }

  /** Calls that hold a slot, and those that wait for one. */
  load() {
    return this.#state.admission.load()
  }

  /** Runs one operation; rejects with an `UpstreamError` that says what is known of its outcome. */
  call<O extends Operation>(
    operation: O,
    params: Params<O>,
    { caller, timeoutMs }: { caller: string; timeoutMs: number },
  ): Promise<Row<O>[]> {
    const request = this.write(operation, params)
    return new Promise<Uint8Array>((resolve, reject) =>
      this.exchange({ operation, request, caller, timeoutMs }, { onAnswer: resolve, onFailure: reject }).start(),
    ).then(bytes => readRows(operation, bytes))
  }

  /** Lets calls under way end. */
  close(): Promise<void> {
    return this.#state.connections.close()
  }

  /** Ends all calls at once. */
  destroy(): Promise<void> {
    return this.#state.connections.destroy()
  }
}

function plainWriter({ transport, url, ...account }: ClientOptions): RequestWriter {
  if (transport === 'json' || transport === 'soap') throw new Error(`the transport ${transport} has not been prepared`)
  return transports[transport](url.pathname, account)
}
