import { hash, timingSafeEqual } from 'node:crypto'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Scope } from '../access.ts'
import type { CallerConfig } from '../config/accounts.ts'
import { Cancellation } from '../lib/cancellation.ts'
import { Problem } from '../problem/problem.ts'
import type { Account, Call } from '../upstream/call.ts'

/** Who is calling, and what the key permits. */
export type Caller = Omit<CallerConfig, 'keySha256' | 'scopes'> & { name: string; scopes: ReadonlySet<Scope> }

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
    /** Replaces the callers and their keys. */
    useCallers(callers: Record<string, CallerConfig>): void
    /** The caller behind an `Authorization` header, whatever the route. */
    callerOf(authorization: string | undefined): Caller | undefined
    reportCallers(): CallerReport[]
  }
  interface FastifyRequest {
    caller: Caller | undefined
    /** Set once the key is known. */
    call: Call
  }
}

type AuthOptions = { callers: Record<string, CallerConfig>; open: (account: string) => Account; now?: () => number }

const minKeyLength = 20
const dayMs = 86_400_000

const keysOf = (callers: Record<string, CallerConfig>) =>
  Object.entries(callers).flatMap(([name, { keySha256, scopes, ...rest }]) => {
    const caller: Caller = { ...rest, name, scopes: new Set(scopes) }
    return keySha256.map(sha256 => ({ sha256, digest: Buffer.from(sha256, 'hex'), caller }))
  })

/** Turns `Authorization: Bearer <key>` into `request.caller`, so that every route knows who asks. */
export const auth = fp<AuthOptions>(async function auth(app, { callers: given, open, now = Date.now }) {
  let callers = given
  let keys = keysOf(callers)
  const lastUsed = new Map<string, number>()

  app.decorate('useCallers', (next: Record<string, CallerConfig>) => {
    callers = next
    keys = keysOf(callers)
    for (const sha256 of lastUsed.keys()) if (!keys.some(key => key.sha256 === sha256)) lastUsed.delete(sha256)
  })
  app.decorate('reportCallers', () => Object.entries(callers).map(([name, caller]) => report(name, caller)))
  app.decorate('callerOf', (authorization: string | undefined) => {
    const caller = keyOf(authorization)?.caller
    return caller && refusalOf(caller) === undefined ? caller : undefined
  })
  app.decorateRequest('caller', undefined)
  app.decorateRequest('call')

  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => void routes.push(route))
  app.addHook('onReady', async () => {
    const unscoped = routes.filter(({ config }) => !config?.scope).map(({ method, url }) => `${method} ${url}`)
    if (unscoped.length > 0) throw new Error(`routes without a scope: ${unscoped.join(', ')}`)
  })

  app.addHook('onRequest', (request, reply, done) => {
    const { scope } = request.routeOptions.config
    if (scope === 'public') return done()
    const { authorization } = request.headers
    const key = keyOf(authorization)
    if (key) lastUsed.set(key.sha256, now())
    const refused = key ? refusalOf(key.caller) : authorization === undefined ? 'The request has no Authorization header' : undefined
    if (!key || refused !== undefined) {
      return done(new Problem('unauthenticated', { detail: refused, headers: { 'www-authenticate': 'Bearer' } }))
    }
    const { caller } = key
    request.caller = caller
    const cancellation = new Cancellation()
    reply.raw.once('close', () => reply.raw.writableFinished || cancellation.cancel(new Error('the caller has left')))
    request.call = { caller: caller.name, account: open(caller.account), cancellation }
    done()
  })

  /** Looks at every digest, so that the time taken says nothing about any of them. */
  function keyOf(authorization = '') {
    const key = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (key === undefined || key.length < minKeyLength) return undefined
    const presented = hash('sha256', key, 'buffer')
    let found: (typeof keys)[number] | undefined
    for (const candidate of keys) if (timingSafeEqual(presented, candidate.digest)) found = candidate
    return found
  }

  /** Why a caller is not let in now. */
  function refusalOf({ disabled, expires }: Caller) {
    if (disabled) return 'This key is disabled'
    return expires !== undefined && Date.parse(expires) <= now() ? 'This key has expired' : undefined
  }

  function report(name: string, { keySha256, disabled = false, ...rest }: CallerConfig): CallerReport {
    const { account, scopes, expires, rateLimit } = rest
    return {
      caller: name,
      account,
      scopes,
      ...(rateLimit && { rateLimit }),
      disabled,
      ...(expires !== undefined && { expires, daysToExpiry: Math.floor((Date.parse(expires) - now()) / dayMs) }),
      keys: keySha256.map(sha256 => {
        const at = lastUsed.get(sha256)
        return { sha256: sha256.slice(0, 8), lastUsedAt: at === undefined ? null : new Date(at).toISOString() }
      }),
    }
  }
})
