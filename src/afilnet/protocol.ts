import type { ClientState, Exchange, ExchangeListener, ExchangeOptions } from './exchange.ts'
import type { Operation } from './operations.ts'
import type { RequestWriter } from './transports.ts'

/** What runs one call for `Execution`: an exchange, or what stands before one. */
export type ExchangeHandle = Pick<Exchange, 'start' | 'cancel'>

/** A transport that needs more than a way of writing requests. */
export type Protocol = {
  url: URL
  write: RequestWriter
  /** A fault that an HTTP status names may be said more precisely by the body. */
  readsFaults: boolean
  /** The envelope in the body of an answer, where it is not the body itself; throws an `UpstreamError`. */
  unwrap?(operation: Operation, bytes: Buffer): Buffer
  /** An attempt at a call that is ready to `start`. */
  attempt(state: ClientState, options: ExchangeOptions, listener: ExchangeListener): ExchangeHandle
}
