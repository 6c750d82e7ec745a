import { createHash, timingSafeEqual } from 'node:crypto'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { CallerConfig, Scope } from '../config.ts'
import { Problem } from '../problem.ts'
import type { CallContext } from '../upstream.ts'

/** Who is calling, and what the key permits. */
export type Caller = { name: string; account: string; scopes: ReadonlySet<Scope> }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key needs for this route; `public` ones need none. A route without it does not boot. */
    scope?: Scope | 'any-key' | 'public'
  }
  interface FastifyInstance {
    /** Replaces the callers and their keys. */
    useCallers(callers: Record<string, CallerConfig>): void
  }
  interface FastifyRequest {
    caller: Caller | undefined
    /** Set once the key is known. */
    call: CallContext
  }
}

const minKeyLength = 20

const keysOf = (callers: Record<string, CallerConfig>) =>
  Object.entries(callers).flatMap(([name, { keySha256, account, scopes }]) => {
    const caller: Caller = { name, account, scopes: new Set(scopes) }
    return keySha256.map(digest => ({ digest: Buffer.from(digest, 'hex'), caller }))
  })

/** Turns `Authorization: Bearer <key>` into `request.caller`, and holds each route to its scope. */
export const auth = fp<{ callers: Record<string, CallerConfig> }>(async function auth(app, { callers }) {
  let keys = keysOf(callers)
  app.decorate('useCallers', (callers: Record<string, CallerConfig>) => {
    keys = keysOf(callers)
  })
  app.decorateRequest('caller', undefined)
  app.decorateRequest('call')

  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => void routes.push(route))
  app.addHook('onReady', async () => {
    const unscoped = routes.filter(({ config }) => !config?.scope).map(({ method, url }) => `${method} ${url}`)
    if (unscoped.length > 0) throw new Error(`routes without a scope: ${unscoped.join(', ')}`)
  })

  app.addHook('onRequest', async (request, reply) => {
    const { scope } = request.routeOptions.config
    if (scope === 'public') return
    const caller = callerOf(request.headers.authorization)
    if (!caller) {
      const detail = request.headers.authorization === undefined ? 'The request has no Authorization header' : undefined
      throw new Problem('unauthenticated', { detail, headers: { 'www-authenticate': 'Bearer' } })
    }
    request.caller = caller
    if (!scope || (scope !== 'any-key' && !caller.scopes.has(scope))) {
      throw new Problem('insufficient-scope', { detail: `This key lacks the scope ${scope}` })
    }
    const gone = new AbortController()
    reply.raw.once('close', () => !reply.raw.writableFinished && gone.abort())
    request.call = { caller: caller.name, account: caller.account, signal: gone.signal }
  })

  /** Looks at every digest, so that the time taken says nothing about any of them. */
  function callerOf(authorization = ''): Caller | undefined {
    const key = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (key === undefined || key.length < minKeyLength) return undefined
    const presented = createHash('sha256').update(key).digest()
    let found: Caller | undefined
    for (const { digest, caller } of keys) if (timingSafeEqual(presented, digest)) found = caller
    return found
  }
})
