import type { FastifyInstance } from 'fastify'
import { allows, allowsChannel, type Chat, destinationIssue, normalizeDestination } from '../access.ts'
import { invalidParameter } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import type { Check } from './request-steps.ts'

/** Holds each route to its scope and each caller to its chats. */
export const authorize: Check = ({ method, route: { scope }, caller, params }) => {
  if (!caller || scope === 'any-key') return undefined
  if (!scope || scope === 'public' || !caller.scopes.has(scope)) {
    return new Problem('insufficient-scope', { detail: `This ${caller.token ? 'token' : 'key'} lacks the scope ${scope}.` })
  }
  const { platform, platformId = '', destination } = params as Partial<Chat> // decoded once, by the router
  if (platform === undefined || !caller.chats) return undefined
  const allowed =
    destination === undefined ? allowsChannel(caller.chats, platform, platformId) : allows(caller.chats, platform, platformId, destination)
  if (allowed) return undefined
  // With 00 before its country code a number is in no pattern: its caller may need another spelling, not another right.
  const number = destination?.replace(/^\D?00/, '') ?? ''
  const issue = number !== destination && destinationIssue(platform, destination ?? '', { sending: method === 'POST' })
  return issue && allows(caller.chats, platform, platformId, normalizeDestination(platform, number))
    ? invalidParameter('path', 'destination', issue)
    : new Problem('chat-not-allowed')
}

/** A route without a scope would be open to every key, so the server does not start. */
export function requireScopes(app: FastifyInstance) {
  app.addHook('onRoute', ({ config, method, url }) => {
    if (!config?.scope) throw new Error(`${method} ${url} declares no scope`)
  })
}
