import { Type } from '@sinclair/typebox'
import type { FastifyRequest, preValidationHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { type Chat, destinationIssue, normalizeDestination } from '../access.ts'
import { decoded } from '../lib/decoded.ts'
import { invalidParameter, undecodable } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'

/** Gives a recipient its one name before anything looks at it. */
export function normalizeChat({ params }: FastifyRequest): undefined {
  const chat = params as Partial<Chat> | undefined // decoded once, by the router; a URL without a route has none
  if (chat?.destination !== undefined) chat.destination = normalizeDestination(chat.platform ?? '', chat.destination)
}

const noQuery = Type.Object({}, { additionalProperties: false })

/** The parser of queries would take a broken escape for text. */
const refuseBrokenEscape: preValidationHookHandler = ({ raw: { url = '' } }, _, done) => {
  const at = url.indexOf('?')
  if (at < 0 || decoded(url.slice(at)) !== undefined) return done()
  done(new Problem('invalid-request', { detail: undecodable('query') }))
}

const refuseBadDestination: preValidationHookHandler = ({ method, params }, _, done) => {
  const { platform, destination } = params as Chat // of such a route
  const issue = destinationIssue(platform, destination, { sending: method === 'POST' })
  done(issue === undefined ? undefined : invalidParameter('path', 'destination', issue))
}

/** A recipient that a list is filtered by; the schema judges its form afterwards. */
const refuseBadFilter: preValidationHookHandler = ({ query }, _, done) => {
  const { platform = '', destination = '' } = query as Partial<Chat>
  const name = typeof destination === 'string' ? normalizeDestination(platform, destination) : ''
  const issue = destinationIssue(platform, name, { sending: false })
  done(issue === undefined ? undefined : invalidParameter('query', 'destination', issue))
}

/**
 * Refuses what is plainly a mistake on each route that needs a key: a destination that is no recipient, a query that cannot be decoded or
 * has a parameter that the route does not know. A misspelt filter would otherwise return everything.
 */
export const strictRoutes = fp(async function strictRoutes(app) {
  app.addHook('onRoute', route => {
    if (route.config?.scope === 'public') return
    const { querystring } = (route.schema ?? {}) as { querystring?: { properties: object } }
    const checks: preValidationHookHandler[] = querystring ? [refuseBrokenEscape] : []
    if (querystring && 'destination' in querystring.properties) checks.push(refuseBadFilter)
    if (route.url.includes(':destination')) checks.push(refuseBadDestination)
    route.preValidation = [...checks, ...[route.preValidation ?? []].flat()]
    route.schema = { querystring: noQuery, ...route.schema }
  })
})
