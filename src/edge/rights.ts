import fp from 'fastify-plugin'
import { reaches, reachesAll } from '../chats.ts'
import { Problem } from '../problem.ts'

type ChatPath = { platform?: string; platformId?: string; destination?: string }

/** Holds each route to its scope and each caller to its chats. */
export const rights = fp(async function rights(app) {
  app.addHook('onRequest', async ({ routeOptions, caller, params }) => {
    const { scope } = routeOptions.config
    if (!caller || scope === 'any-key') return
    if (!scope || scope === 'public' || !caller.scopes.has(scope)) {
      throw new Problem('insufficient-scope', { detail: `This key lacks the scope ${scope}` })
    }
    const { platform, platformId = '', destination } = params as ChatPath // decoded once, by the router
    if (platform === undefined) return
    const allowed =
      destination === undefined ? reachesAll(caller.chats, platform, platformId) : reaches(caller.chats, platform, platformId, destination)
    if (!allowed) throw new Problem('chat-not-allowed')
  })
})
