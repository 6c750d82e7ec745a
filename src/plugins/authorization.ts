import fp from 'fastify-plugin'
import { allows, allowsChannel } from '../access.ts'
import { Problem } from '../problem/problem.ts'

type ChatPath = { platform?: string; platformId?: string; destination?: string }

/** Holds each route to its scope and each caller to its chats. */
export const rights = fp(async function rights(app) {
  app.addHook('onRequest', ({ routeOptions, caller, params }, _, done) => {
    const { scope } = routeOptions.config
    if (!caller || scope === 'any-key') return done()
    if (!scope || scope === 'public' || !caller.scopes.has(scope)) {
      return done(new Problem('insufficient-scope', { detail: `This key lacks the scope ${scope}` }))
    }
    const { platform, platformId = '', destination } = params as ChatPath // decoded once, by the router
    if (platform === undefined || !caller.chats) return done()
    const allowed =
      destination === undefined
        ? allowsChannel(caller.chats, platform, platformId)
        : allows(caller.chats, platform, platformId, destination)
    done(allowed ? undefined : new Problem('chat-not-allowed'))
  })
})
