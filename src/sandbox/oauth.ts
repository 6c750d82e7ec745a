import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ScriptedResponse } from './scripted-responses.ts'
import { after, readBody } from './server.ts'

/** The one client secret that may be seen: it opens nothing but a sandbox. */
export const fakeClientSecret = 'fake-sandbox-client-secret'
export const clientId = 'sandbox-client'

const usualLifetimeS = 3_600

/** A request for a token, without anything secret in it. */
type TokenRequest = {
  at: string
  grant: string
  clientId: string
  authentication: 'basic' | 'body' | 'none'
  scope?: string
  status: number
  error?: string
}

type OAuthOptions = {
  /** The user of an account, if the password is the right one. */
  userOf: (user: string, password: string) => string | undefined
  /** Whose tokens the grant `client_credentials` gives. */
  mainUser: string
  clientSecret: string
  now: () => number
  /** A scripted answer for the next request. */
  queued: () => ScriptedResponse | undefined
  changed: () => void
}

/** What a request gets: a token of that user, or an error. */
type Decided = { status: number; error?: string; user?: string }

/** Tokens by RFC 6749: both grants, the client authenticated by HTTP Basic or in the body. */
export class OAuth {
  readonly requests: TokenRequest[] = []
  /** The lifetime that new tokens announce; `undefined` if they announce none. */
  expiresInS: number | undefined = usualLifetimeS
  /** The lifetime that they have, where it is another. */
  validForS: number | undefined
  readonly #options: OAuthOptions
  readonly #tokens = new Map<string, { user: string; expiresAt: number }>()

  constructor(options: OAuthOptions) {
    this.#options = options
  }

  /** Whose token it is, if it was given and has not expired. */
  userOfToken(authorization: string): string | undefined {
    const token = this.#tokens.get(/^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization)?.[1] ?? '')
    return token && token.expiresAt > this.#options.now() ? token.user : undefined
  }

  revoke(): void {
    this.#tokens.clear()
  }

  reset(): void {
    this.revoke()
    this.requests.length = 0
    this.expiresInS = usualLifetimeS
    this.validForS = undefined
  }

  async endpoint(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { now, queued, changed } = this.#options
    const bytes = await readBody(request, 65_536)
    const form = new URLSearchParams(bytes?.toString() ?? '')
    const client = clientOf(request, form)
    const isForm = /^application\/x-www-form-urlencoded/i.test(request.headers['content-type'] ?? '')
    const decided = request.method === 'POST' && isForm ? this.#decide(form, client) : { status: 400, error: 'invalid_request' }
    const answer = queued()
    const scope = form.get('scope')
    const { id, authentication } = client
    this.requests.push({
      at: new Date(now()).toISOString(),
      grant: form.get('grant_type') ?? '',
      clientId: id === clientId ? id : '<other>',
      authentication,
      ...(scope !== null && { scope: scope === 'chat' ? scope : '<other>' }),
      ...(decided.error !== undefined && { error: decided.error }),
      status: answer?.status ?? decided.status,
    })
    changed()
    after(answer?.delayMs ?? 0, answer?.held, response, () => this.#respond(response, decided, answer))
  }

  #decide(form: URLSearchParams, client: Client): Decided {
    const { userOf, mainUser, clientSecret } = this.#options
    const grant = form.get('grant_type')
    if ([...form.keys()].some((name, i, names) => names.indexOf(name) !== i)) return { status: 400, error: 'invalid_request' }
    if (client.authentication === 'basic' && form.has('client_secret')) return { status: 400, error: 'invalid_request' }
    if (client.id !== clientId || client.secret !== clientSecret) return { status: 401, error: 'invalid_client' }
    if (!grant) return { status: 400, error: 'invalid_request' }
    if (grant !== 'client_credentials' && grant !== 'password') return { status: 400, error: 'unsupported_grant_type' }
    if ((form.get('scope') ?? 'chat') !== 'chat') return { status: 400, error: 'invalid_scope' }
    const user = grant === 'password' ? userOf(form.get('username') ?? '', form.get('password') ?? '') : mainUser
    return user === undefined ? { status: 400, error: 'invalid_grant' } : { status: 200, user }
  }

  #issue(user: string): string {
    const token = `fake-sandbox-token-${randomBytes(12).toString('hex')}`
    const lifetimeS = this.validForS ?? this.expiresInS ?? usualLifetimeS
    this.#tokens.set(token, { user, expiresAt: this.#options.now() + lifetimeS * 1_000 })
    return token
  }

  #respond(response: ServerResponse, { status, error, user = '' }: Decided, answer: ScriptedResponse = {}) {
    if (answer.fault === 'silent' || response.destroyed) return
    if (answer.fault) return void response.socket?.destroy()
    const lifetime = this.expiresInS === undefined ? {} : { expires_in: this.expiresInS }
    const body = error === undefined ? { access_token: this.#issue(user), token_type: 'Bearer', ...lifetime, scope: 'chat' } : { error }
    const challenge = status === 401 ? { 'www-authenticate': 'Basic realm="Afilnet"' } : {}
    response.writeHead(answer.status ?? status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...challenge,
      ...answer.headers,
    })
    response.end(answer.body ?? JSON.stringify(body))
  }
}

type Client = { id: string; secret: string; authentication: TokenRequest['authentication'] }

/** The client by HTTP Basic, whose two parts are form-encoded, or by the body. */
function clientOf({ headers }: IncomingMessage, form: URLSearchParams): Client {
  const basic = /^Basic +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  if (basic !== undefined) {
    const [id = '', secret = ''] = Buffer.from(basic, 'base64').toString().split(/:(.*)/s, 2)
    const decode = (text: string) => new URLSearchParams(`x=${text}`).get('x') ?? ''
    return { id: decode(id), secret: decode(secret), authentication: 'basic' }
  }
  const id = form.get('client_id')
  return { id: id ?? '', secret: form.get('client_secret') ?? '', authentication: id === null ? 'none' : 'body' }
}
