import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { allows, type ChatLimit, type Scope, type TokenGrant } from '../access.ts'
import type { CallerConfig } from '../config/accounts.ts'
import { Cancellation } from '../lib/cancellation.ts'
import { Problem } from '../problem/problem.ts'
import type { OpenedToken, TokenClaims } from '../tokens/tokens.ts'
import type { Account, Call } from '../upstream/call.ts'
import { requireScopes } from './authorization.ts'
import type { Check, Cleanup } from './request-steps.ts'

/** Who is calling, and what the key or the token permits. */
export type Caller = Omit<CallerConfig, 'keySha256' | 'scopes' | 'chats'> & {
  name: string
  scopes: ReadonlySet<Scope>
  chats?: readonly ChatLimit[]
  /** All that the configuration says of the caller, as text: another one after a reload means that it has changed. */
  config: string
  /** Bytes of answers that the caller has yet to read, those to its tokens included. */
  waiting: { bytes: number }
  /** Only for a token. Name, account and limits are those of the caller that issued it. */
  token?: TokenGrant
}

/** What the operator may see of a caller: never more than the first digits of a digest, and no chat. */
export type CallerReport = Pick<CallerConfig, 'account' | 'scopes' | 'expires' | 'rateLimit'> & {
  caller: string
  disabled: boolean
  /** Whole days; negative once the keys have expired. */
  daysToExpiry?: number
  keys: { sha256: string; lastUsedAt: string | null }[]
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key needs for this route; `public` ones need none. A route without it does not boot. */
    scope?: Scope | 'any-key' | 'public'
  }
  interface FastifyInstance {
    /** Replaces the callers and their keys; their accounts must be open already. */
    useCallers(callers: Record<string, CallerConfig>): void
    /** The caller behind an `Authorization` header, whatever the route. */
    callerOf(authorization: string | undefined): Caller | undefined
    /** The digest of the key in an `Authorization` header. */
    digestOf(authorization: string | undefined): string | undefined
    reportCallers(): CallerReport[]
  }
  interface FastifyRequest {
    /** Both are set once the key is known: before that, and on public routes, there is neither. */
    caller: Caller
    call: Call
  }
}

type AuthenticationOptions = {
  callers: Record<string, CallerConfig>
  open: (account: string) => Account
  /** Reads a token that one of these keys issued. */
  openToken: (token: string, digests: ReadonlyMap<string, unknown>) => Promise<OpenedToken>
}

type Key = { caller: Caller; account: Account; expiresAt: number; lastUsedAt: number | undefined }

const minKeyLength = 20
const bearer = /^Bearer +(\S+)$/i
/** The form of a signed token; one that the gateway issued is shorter. */
const tokenForm = /^Bearer +(eyJ[\w-]{1,4000}\.[\w-]{1,4000}\.[\w-]{1,100})$/i
const dayMs = 86_400_000

/** The keys by their digests; one that was there before keeps its last use. */
function keysOf(callers: Record<string, CallerConfig>, open: AuthenticationOptions['open'], before?: ReadonlyMap<string, Key>) {
  const keys = new Map<string, Key>()
  for (const [name, config] of Object.entries(callers)) {
    const { keySha256, scopes, ...rest } = config
    const caller: Caller = { ...rest, name, scopes: new Set(scopes), config: JSON.stringify(config), waiting: { bytes: 0 } }
    const expiresAt = rest.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(rest.expires)
    const account = open(caller.account)
    for (const sha256 of keySha256) keys.set(sha256, { caller, account, expiresAt, lastUsedAt: before?.get(sha256)?.lastUsedAt })
  }
  return keys
}

/** Turns `Authorization: Bearer <key>` into `request.caller`, and refuses requests without a valid key. */
export function createAuthentication(app: FastifyInstance, { callers: given, open, openToken }: AuthenticationOptions) {
  let callers = given
  let keys = keysOf(callers, open)
  let reloadedAt = 0

  app.decorate('useCallers', (next: Record<string, CallerConfig>) => {
    keys = keysOf(next, open, keys)
    callers = next
    reloadedAt = performance.now()
  })
  app.decorate('reportCallers', () => Object.entries(callers).map(([name, caller]) => report(name, caller)))
  app.decorate('callerOf', (authorization: string | undefined) => {
    const key = keys.get(digestOf(authorization) ?? '')
    return key && issueOf(key) === undefined ? key.caller : undefined
  })
  app.decorate('digestOf', digestOf)
  app.decorateRequest('caller')
  app.decorateRequest('call')
  requireScopes(app)

  const authenticate: Check = (request, reply) => {
    if (request.route.scope === 'public') return undefined
    const { authorization } = request.headers
    // The time of the lookup reveals nothing about a key: an attacker cannot choose the digest of a guess.
    const key = keys.get(digestOf(authorization) ?? '')
    if (!key) {
      const token = tokenForm.exec(authorization ?? '')?.[1]
      return token ? authenticateToken(request, reply, token) : unauthenticated(headerIssueOf(authorization))
    }
    key.lastUsedAt = Date.now()
    const issue = issueOf(key)
    if (issue !== undefined) return unauthenticated(issue)
    setCaller(request, key.caller, key.account)
    return undefined
  }

  async function authenticateToken(request: FastifyRequest, reply: FastifyReply, token: string) {
    const issuers = keys
    const opened = await openToken(token, issuers)
    if ('issue' in opened) return unauthenticated(opened.issue)
    const { claims, keySha256 } = opened
    const issuer = issuers.get(keySha256)
    if (!issuer || issueOf(issuer) !== undefined || issuer.caller.account !== claims.account)
      return unauthenticated('The key that issued this token is no longer valid.')
    setCaller(request, callerWith(issuer.caller, claims), issuer.account)
    if (reply.raw.closed) cancelIfCallerLeft(request, reply, false) // while the token was read
    return undefined
  }

  /** Ends what only this caller waits for. */
  const cancelIfCallerLeft: Cleanup = ({ call }, _, isWhole) => {
    if (call && !isWhole) call.cancellation.cancel(new Error('the caller has left'))
  }

  function report(name: string, { keySha256, account, scopes, expires, rateLimit, disabled = false }: CallerConfig): CallerReport {
    return {
      caller: name,
      account,
      scopes,
      ...(rateLimit && { rateLimit }),
      disabled,
      ...(expires !== undefined && { expires, daysToExpiry: Math.floor((Date.parse(expires) - Date.now()) / dayMs) }),
      keys: keySha256.map(sha256 => {
        const at = keys.get(sha256)?.lastUsedAt
        return { sha256: sha256.slice(0, 8), lastUsedAt: at === undefined ? null : new Date(at).toISOString() }
      }),
    }
  }

  return { authenticate, cancelIfCallerLeft, isOutdated: ({ startedAt }: FastifyRequest) => startedAt <= reloadedAt }
}

/** Why a key is not valid. */
function issueOf({ caller, expiresAt }: Key) {
  if (caller.disabled) return 'This key is disabled.'
  return expiresAt <= Date.now() ? 'This key has expired.' : undefined
}

/** A request that is checked again keeps its call, by which the trace and the cancellation are found. */
function setCaller(request: FastifyRequest, caller: Caller, account: Account) {
  request.caller = caller
  if (request.call) Object.assign(request.call, { caller: caller.name, account })
  else request.call = { caller: caller.name, account, cancellation: new Cancellation() }
}

export const unauthenticated = (detail: string | undefined) =>
  new Problem('unauthenticated', { detail, headers: { 'www-authenticate': 'Bearer' } })

function digestOf(authorization = '') {
  const key = bearer.exec(authorization)?.[1]
  return key === undefined || key.length < minKeyLength ? undefined : hash('sha256', key)
}

/** The caller that a token stands for: what its issuer has lost since, it has lost too. */
function callerWith(issuer: Caller, { account: _, scopes, ...token }: TokenClaims): Caller {
  const { platform, platformId, destination } = token.chat
  return {
    ...issuer,
    scopes: new Set(scopes.filter(scope => issuer.scopes.has(scope))),
    chats: allows(issuer.chats, platform, platformId, destination) ? [token.chat] : [],
    expires: new Date(token.expiresAt).toISOString(),
    token,
  }
}

/** Why no key can be read from the header. */
function headerIssueOf(authorization: string | undefined) {
  if (authorization === undefined) return 'The request has no Authorization header.'
  return bearer.test(authorization) ? undefined : 'The Authorization header is not of the form: Bearer <key>.'
}
