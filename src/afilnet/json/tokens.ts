import type * as OAuth from 'oauth4webapi'
import { isObject } from '../../lib/is-object.ts'
import type { Connector } from '../connector.ts'
import { type Fault, failures, faults, mismatch, type TokenReport, UpstreamError } from '../faults.ts'
import { networkErrorOf, retryAfter } from '../response-faults.ts'
import { requestOnce } from '../single-request.ts'
import { formHeaders } from '../transports.ts'

type OAuthSettings = {
  tokenUrl: URL
  clientId: string
  clientSecret: string
  scope?: string | undefined
  grant: 'client_credentials' | 'password'
  /** For the grant `password`. */
  user: string
  password: string
}

export type TokensOptions = OAuthSettings & {
  connect: Connector
  timeoutMs: number
  onToken?: ((report: TokenReport) => void) | undefined
}

const maxBytes = 65_536

/** A token is renewed this long before it expires, or after three quarters of a shorter life. */
const marginMs = 30_000

/** Errors of RFC 6749 that speak of the client or of the user, and Afilnet's own. */
const rejections = new Set(['invalid_client', 'invalid_grant', 'unauthorized_client', 'access_denied', 'INCORRECT_USER_PASSWORD'])

/** Those that may mean that the server did not decode the client's id and secret; `undefined` is a bare HTTP 401. */
const clientRejections = new Set([undefined, 'invalid_client', 'INCORRECT_USER_PASSWORD'])

/**
 * The access token of one account: kept until shortly before it expires, and asked for once, however many calls wait for it.
 *
 * All that can fail here fails before the call leaves: every error is `not_applied`.
 */
export class Tokens {
  readonly #options: TokensOptions
  #token: { value: string; freshUntil: number } | undefined
  #flight: Promise<string> | undefined
  /**
   * The client's id and secret, form-encoded as RFC 6749 has it, and as they are, since the usual servers in PHP decode nothing. The one that
   * was used last is first.
   */
  readonly #clients: string[]

  constructor(options: TokensOptions) {
    this.#options = options
    const parts = [options.clientId, options.clientSecret]
    // The library's own encoding escapes more than RFC 6749 asks for.
    const encoded = parts.map(text => new URLSearchParams({ '': text }).toString().slice(1))
    this.#clients = [...new Set([encoded.join(':'), parts.join(':')])]
  }

  /** The token, if there is one that does not expire soon. */
  get current(): string | undefined {
    // Lifetimes are counted by a clock that does not jump, and from before the request: no clock of another machine matters.
    return this.#token && performance.now() < this.#token.freshUntil ? this.#token.value : undefined
  }

  /** A token other than the one that was refused, if any; rejects with an `UpstreamError`. */
  get(refused?: string): Promise<string> {
    this.drop(refused)
    const { current } = this
    if (current !== undefined) return Promise.resolve(current)
    this.#flight ??= this.#request().finally(() => {
      this.#flight = undefined
    })
    return this.#flight
  }

  /** Forgets a token that was refused, unless another one has taken its place. */
  drop(refused: string | undefined) {
    if (this.#token?.value === refused) this.#token = undefined
  }

  async #request(mayRepeat = this.#clients.length > 1): Promise<string> {
    const startedAt = performance.now()
    const oauth = await import('oauth4webapi')
    let status: number | undefined
    let retryAfterS: number | undefined
    const send: FetchToken = async (url, { headers: { authorization = '' }, body }) => {
      const { connect, timeoutMs } = this.#options
      const headers = { ...formHeaders, Authorization: authorization }
      const response = await requestOnce({ url: new URL(url), connect, timeoutMs, maxBytes, method: 'POST', headers, body: String(body) })
      status = response.status
      retryAfterS = retryAfter(response.headers)
      // PHP labels JSON as HTML; what is not JSON fails all the same.
      const type = { 'content-type': 'application/json' }
      const { json, isError } = standardized(response.bytes)
      return new Response(json, { status: status < 200 ? 500 : isError && status === 200 ? 400 : status, headers: type })
    }
    try {
      const token = await this.#ask(oauth, send)
      if (!/^[ -~]+$/.test(token.access_token)) throw new Error('no header can carry the token') // kept, it would fail every call
      const lifetimeMs = token.expires_in === undefined ? Number.POSITIVE_INFINITY : token.expires_in * 1_000
      this.#token = { value: token.access_token, freshUntil: startedAt + lifetimeMs - Math.min(marginMs, lifetimeMs / 4) }
      this.#options.onToken?.({ ms: performance.now() - startedAt, lifetimeS: token.expires_in })
      return token.access_token
    } catch (error) {
      const oauthError = error instanceof oauth.ResponseBodyError ? error.error : undefined
      const fault = faultOf(status, oauthError)
      if (mayRepeat && fault === faults.INCORRECT_USER_PASSWORD && clientRejections.has(oauthError)) {
        this.#clients.reverse()
        return this.#request(false)
      }
      const known = oauthError !== undefined && /^[a-z_]{1,40}$/.test(oauthError) ? oauthError : undefined
      const networkError = status === undefined ? networkErrorOf(error) : undefined
      this.#options.onToken?.({ ms: performance.now() - startedAt, fault, status, oauthError: known, networkError })
      throw new UpstreamError(fault, { safe: true, retryAfterS: fault === failures.rateLimited ? retryAfterS : undefined })
    }
  }

  #ask(oauth: typeof OAuth, send: FetchToken): Promise<OAuth.TokenEndpointResponse> {
    const { tokenUrl, clientId, grant, user, password, scope } = this.#options
    const server = { issuer: tokenUrl.origin, token_endpoint: tokenUrl.href }
    const client = { client_id: clientId }
    const parameters = { ...(grant === 'password' && { username: user, password }), ...(scope !== undefined && { scope }) }
    const options = { [oauth.customFetch]: send, [oauth.allowInsecureRequests]: tokenUrl.protocol === 'http:' }
    return oauth
      .genericTokenEndpointRequest(server, client, this.#authenticate, grant, parameters, options)
      .then(response => oauth.processGenericTokenEndpointResponse(server, client, response))
  }

  readonly #authenticate: OAuth.ClientAuth = (_server, _client, _body, headers) => {
    headers.set('authorization', `Basic ${Buffer.from(this.#clients[0] ?? '').toString('base64')}`)
  }
}

type FetchToken = (url: string, options: { headers: Record<string, string>; body?: unknown }) => Promise<Response>

/**
 * The JSON of an answer as RFC 6749 has it: PHP writes null for what is absent. Afilnet answers HTTP 200 to calls that fail.
 *
 * Only what the gateway uses is kept: the library checks the rest too, and refuses a token over an `id_token` or a `scope` that the gateway does not use.
 */
function standardized(bytes: Buffer): { json: string; isError: boolean } {
  const text = new TextDecoder().decode(bytes)
  try {
    const answer: unknown = JSON.parse(text, (_, value) => value ?? undefined)
    if (!isObject(answer)) return { json: text, isError: false }
    const { access_token, token_type = 'Bearer', expires_in, error } = answer
    return {
      json: JSON.stringify({ access_token, token_type, expires_in, error }),
      isError: error !== undefined && access_token === undefined,
    }
  } catch {
    return { json: text, isError: false }
  }
}

/** What a failed request for a token means for the call that needed it. */
function faultOf(status: number | undefined, oauthError: string | undefined): Fault {
  if (status === undefined || status >= 500) return failures.unreachable
  if (status === 401 || (oauthError !== undefined && rejections.has(oauthError))) return faults.INCORRECT_USER_PASSWORD
  if (status === 429) return failures.rateLimited
  return status < 300 && oauthError === undefined ? failures.unreachable : mismatch // a page that stands in for an answer may be gone soon; a redirect or a 404 will not
}
