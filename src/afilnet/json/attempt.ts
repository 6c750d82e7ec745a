import { openEnvelope } from '../envelope.ts'
import { type ClientState, type EndedCall, Exchange, type ExchangeListener, type ExchangeOptions } from '../exchange.ts'
import { failures, faults, UpstreamError } from '../faults.ts'
import type { ExchangeHandle } from '../protocol.ts'
import type { Tokens } from './tokens.ts'

/** A refusal has no result and is shorter than this: larger answers need no second look. */
const maxRefusalBytes = 1_024

/**
 * A call that carries a token, inside one deadline.
 *
 * It waits for a token first, and is repeated once with another one if HTTP 401 refuses the first: that answer proves that nothing was
 * applied, so it holds for a send too.
 */
export class TokenAttempt implements ExchangeHandle, ExchangeListener {
  /** When the request left that was refused. */
  startedAt: number | undefined = undefined
  readonly isMagic = false
  readonly #tokens: Tokens
  readonly #state: ClientState
  readonly #options: ExchangeOptions
  readonly #listener: ExchangeListener
  readonly #deadline: number
  #timer: NodeJS.Timeout | undefined = undefined
  #exchange: Exchange | undefined = undefined
  #token: string | undefined = undefined
  #repeated = false
  #settled = false

  constructor(tokens: Tokens, state: ClientState, options: ExchangeOptions, listener: ExchangeListener) {
    this.#tokens = tokens
    this.#state = state
    this.#options = options
    this.#listener = listener
    this.#deadline = performance.now() + options.timeoutMs
  }

  start() {
    const { current } = this.#tokens
    if (current === undefined) this.#wait()
    else this.#send(current)
  }

  cancel(reason: Error) {
    if (this.#exchange) this.#exchange.cancel(reason)
    else this.#fail(reason)
  }

  stillWanted() {
    this.#listener.stillWanted?.()
  }

  onAnswer(bytes: Buffer, exchange: Exchange) {
    // Afilnet answers HTTP 200 to calls that fail. Such an answer ends the call, but what it refused must not be used for the next.
    if (bytes.length <= maxRefusalBytes && isRefusal(this.#options, bytes)) this.#tokens.drop(this.#token)
    this.#listener.onAnswer(bytes, exchange)
  }

  onFailure(error: unknown, exchange: EndedCall) {
    // Once it has left, only an HTTP status makes an exchange fail so; Afilnet's own code comes in an answer.
    const { startedAt } = exchange
    const isRefused = startedAt !== undefined && error instanceof UpstreamError && error.fault === faults.INCORRECT_USER_PASSWORD
    if (!isRefused || this.#repeated) return this.#listener.onFailure(error, exchange)
    this.#repeated = true
    this.startedAt = startedAt
    this.#exchange = undefined
    this.#wait(error)
  }

  continueLate() {
    return this.#listener.continueLate?.()
  }

  /** Sends with the next token; with the one that was refused, `refusal` stands. */
  #wait(refusal?: UpstreamError) {
    const refused = this.#token
    this.#timer = setTimeout(() => this.#fail(new UpstreamError(failures.unreachable, this.#options.operation)), this.#leftMs())
    this.#tokens.get(refused).then(
      token => {
        if (this.#settled) return
        clearTimeout(this.#timer)
        if (token === refused) this.#fail(refusal)
        else this.#send(token)
      },
      error => this.#fail(error),
    )
  }

  #send(token: string) {
    this.#token = token
    const { request } = this.#options
    const authorized = { ...request, headers: { ...request.headers, Authorization: `Bearer ${token}` } }
    this.#exchange = new Exchange(this.#state, { ...this.#options, request: authorized, timeoutMs: this.#leftMs() }, this)
    this.#exchange.start()
  }

  #leftMs() {
    return Math.max(0, this.#deadline - performance.now())
  }

  /** Ends the call while no exchange is under way: nothing of it has left, or all that left was refused. */
  #fail(error: unknown) {
    if (this.#settled) return
    this.#settled = true
    clearTimeout(this.#timer)
    this.#listener.onFailure(error, this)
  }
}

function isRefusal({ operation }: ExchangeOptions, bytes: Buffer): boolean {
  try {
    openEnvelope(operation, bytes)
    return false
  } catch (error) {
    return error instanceof UpstreamError && error.fault === faults.INCORRECT_USER_PASSWORD
  }
}
