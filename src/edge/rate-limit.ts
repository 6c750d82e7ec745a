import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { limitHeaders } from '../limits.ts'
import { Problem } from '../problem.ts'

const minuteMs = 60_000

/** Answers of these kinds that one address gets in a minute, before it gets 429 instead. */
const mostMistakes = 900
const mistakes = new Set([400, 401, 404])

/**
 * Bounds how often an address is told that it got something wrong: gives the problem to answer with instead.
 *
 * Only such answers count and only they are withheld, so a valid key is served however many wrong ones come from behind the same proxy.
 */
export function limitMistakes(app: FastifyInstance): (problem: Problem, request: FastifyRequest) => Promise<Problem> {
  const limit = app.createRateLimit({
    timeWindow: minuteMs,
    max: mostMistakes,
    keyGenerator: ({ ip }) => normalizeIP(ip.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$|^\[(.+)\](:\d+)?$/, '$1$2'), 64), // some proxies tell the port too
  })
  return async (problem, request) => {
    if (!mistakes.has(problem.row.status) || app.callerOf(request.headers.authorization)) return problem
    const standing = await limit(request)
    return !standing.isAllowed && standing.isExceeded ? tooMany('mistakes', standing) : problem
  }
}

/** Holds each caller to its requests per minute. */
export const callerLimit = fp(async function callerLimit(app) {
  const limit = app.createRateLimit({
    timeWindow: minuteMs,
    max: ({ caller }) => caller?.rateLimit?.requestsPerMinute ?? Number.POSITIVE_INFINITY,
    keyGenerator: ({ caller }) => caller?.name ?? '',
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.caller?.rateLimit?.requestsPerMinute === undefined) return
    const state = await limit(request)
    if (state.isAllowed) return
    if (state.isExceeded) throw tooMany('requests', state)
    reply.headers(headersOf('requests', state))
  })
})

type Standing = { max: number; remaining: number; ttlInSeconds: number }

const headersOf = (name: string, { max, remaining, ttlInSeconds }: Standing) =>
  limitHeaders({ name, quota: max, windowS: minuteMs / 1000, remaining, resetS: ttlInSeconds })

const tooMany = (name: string, standing: Standing) =>
  new Problem('rate-limited', { retryAfterS: Math.max(1, standing.ttlInSeconds), headers: headersOf(name, standing) })
