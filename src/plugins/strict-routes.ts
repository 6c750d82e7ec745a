import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { destinationIssue, normalizeDestination } from '../access.ts'
import { invalidParameter } from '../problem/invalid-request.ts'

type ChatPath = { platform: string; destination: string }

/** Gives a recipient its one name before anything looks at it. */
export function normalizeChat({ params }: FastifyRequest): undefined {
  const chat = params as Partial<ChatPath> | undefined // decoded once, by the router; a URL without a route has none
  if (chat?.destination !== undefined) chat.destination = normalizeDestination(chat.platform ?? '', chat.destination)
}

const noQuery = Type.Object({}, { additionalProperties: false })

/**
 * Refuses what is plainly a mistake on each route that needs a key: a destination that is no recipient, a query parameter that the
 * route does not know. A misspelt filter would otherwise return everything.
 */
export const strictRoutes = fp(async function strictRoutes(app) {
  app.addHook('onRoute', route => {
    if (route.config?.scope === 'public') return
    route.schema = { querystring: noQuery, ...route.schema }
    if (!route.url.includes(':destination')) return
    route.preValidation = [
      ...[route.preValidation ?? []].flat(),
      ({ method, params }, _, done) => {
        const { platform, destination } = params as ChatPath // of this route
        const issue = destinationIssue(platform, destination, { sending: method === 'POST' })
        done(issue === undefined ? undefined : invalidParameter('path', 'destination', issue))
      },
    ]
  })
})
