import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import { maxOpenFiles } from '../lib/open-files.ts'
import { Client } from '../lib/undici.ts'
import type { Connector } from './connector.ts'
import type { WireRequest } from './transports.ts'

type ConnectionsOptions = {
  origin: string
  connect: Connector
  /** Calls at one time; up to eight times as many connections may be open, since those of sends rest. */
  calls: number
  maxResponseBytes: number
  watch?: Dispatcher.DispatcherComposeInterceptor | undefined
}

/** How long a connection must have been silent before a send may use it again. */
const quietMs = 250

/**
 * The connections of one account, the one used last first.
 *
 * HTTP/1.1 ties an answer to its request by nothing but its position, so the gateway chooses itself which connection carries what.
 */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #maxOpen: number
  /** Those that had been silent for `quietMs` when a send last asked; in the order of `idleSince`, the latest at the end. */
  readonly #rested: Connection[] = []
  /** All others that carry no exchange, in the same order. */
  readonly #idle: Connection[] = []
  readonly #all = new Set<Connection>() // changes when a connection opens or closes, not with each request
  #closed = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
    const { calls } = options
    this.#maxOpen = Math.max(calls, Math.min(8 * calls, Math.floor(maxOpenFiles() / 4)))
  }

  /** A connection for one exchange: for a send a new one, or one that has been silent for a while. */
  take(forSend: boolean): Connection {
    const connection = forSend ? this.#takeRested() : (this.#takeFrom(this.#idle) ?? this.#takeFrom(this.#rested))
    if (connection) return connection
    if (this.#all.size >= this.#maxOpen) {
      const latest = this.#idle.at(-1) // the others have been silent for longer, so a send can use them sooner
      if (latest) this.retire(latest)
    }
    const opened: Connection = new Connection(this.#options, () => this.#onDisconnect(opened))
    if (this.#closed)
      void opened.destroy() // what is dispatched on it fails before it leaves
    else this.#all.add(opened)
    return opened
  }

  #takeFrom(list: Connection[]): Connection | undefined {
    for (let connection = list.pop(); connection; connection = list.pop()) {
      if (connection.isClean) return connection
      this.retire(connection)
    }
    return undefined
  }

  #takeRested(): Connection | undefined {
    const before = performance.now() - quietMs
    for (let [next] = this.#idle; next && next.idleSince <= before; [next] = this.#idle) {
      this.#idle.shift()
      this.#rested.push(next)
    }
    return this.#takeFrom(this.#rested)
  }

  /** Takes a connection back whose answer is complete. */
  release(connection: Connection) {
    if (!connection.isClean) return this.retire(connection)
    connection.idleSince = performance.now()
    this.#idle.push(connection)
  }

  /** Closes a connection for good. */
  retire(connection: Connection) {
    for (const list of [this.#idle, this.#rested]) {
      const at = list.indexOf(connection)
      if (at >= 0) list.splice(at, 1)
    }
    if (this.#all.delete(connection)) void connection.destroy()
  }

  async close() {
    this.#closed = true
    await Promise.all([...this.#all].map(connection => connection.close()))
  }

  async destroy() {
    this.#closed = true
    await Promise.all([...this.#all].map(connection => connection.destroy()))
  }

  /** The Client of an exchange that has not left yet reconnects without our help. */
  #onDisconnect(connection: Connection) {
    if (this.#idle.includes(connection) || this.#rested.includes(connection)) this.retire(connection)
  }
}

/** One undici Client, which never has more than one socket and one request. */
export class Connection {
  idleSince = 0
  readonly #client: Client
  readonly #dispatcher: Dispatcher
  #socket: Socket | undefined
  #bytesRead = 0
  #connects = 0
  #ended = false
  #surplus = false

  constructor({ origin, connect, maxResponseBytes, watch }: ConnectionsOptions, onDisconnect: () => void) {
    this.#client = new Client(origin, {
      pipelining: 1,
      allowH2: false,
      maxResponseSize: maxResponseBytes,
      headersTimeout: 0, // the deadline of the call ends it, a drip included
      bodyTimeout: 0,
      keepAliveTimeout: 4_000, // an idle connection that the far side closes fails the send on it
      keepAliveMaxTimeout: 10_000,
      connect: (options, callback) => {
        // An idle connection may be lost just as it is taken. Beyond twice for one request, undici would reconnect without end and without a pause.
        if (++this.#connects > 2)
          return callback(Object.assign(new Error('connections are lost before the request can leave'), { code: 'ECONNRESET' }), null)
        connect(options, (...[error, socket]) => {
          if (error) return callback(error, null)
          this.#watch(socket)
          callback(null, socket)
        })
      },
    })
    this.#client.on('disconnect', onDisconnect)
    this.#dispatcher = watch ? this.#client.compose(watch) : this.#client
  }

  dispatch(request: WireRequest, handler: Dispatcher.DispatchHandler) {
    this.#ended = false
    this.#connects = 0
    this.#dispatcher.dispatch(request, handler)
  }

  /** To be called as the last byte of an answer was read; any byte after it makes the connection useless. */
  markEnd() {
    this.#ended = true
    this.#bytesRead = this.#socket?.bytesRead ?? 0
  }

  /** Whether bytes followed an answer that did not belong to it. */
  get hasSurplus(): boolean {
    // The text is undici's own; client-connections.test.ts fails if it changes.
    return this.#surplus || this.#socket?.bytesRead !== this.#bytesRead || this.#socket.errored?.message === 'bad response'
  }

  get isClean(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed && !this.hasSurplus
  }

  close() {
    return this.#client.close()
  }

  destroy() {
    return this.#client.destroy()
  }

  #watch(socket: Socket) {
    this.#socket = socket
    this.#surplus = false
    const { unshift } = socket
    // undici gives back what it has not read when it closes the connection after an answer.
    socket.unshift = (chunk, ...more) => {
      if (this.#ended && chunk.length > 0) this.#surplus = true
      return unshift.call(socket, chunk, ...more)
    }
  }
}
