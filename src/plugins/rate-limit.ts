import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { limitHeaders } from '../lib/ratelimit-headers.ts'
import { Problem } from '../problem/problem.ts'
import type { SharedCounter } from '../store/store.ts'

const minuteMs = 60_000

/** Answers of these kinds that one address gets in a minute, before it gets 429 instead. */
const mostMistakes = 900
const mistakes = new Set([400, 401, 404])

/**
 * Bounds how often an address is told that it got something wrong: gives the problem to answer with instead.
 *
 * Only such answers count and only they are withheld, so a valid key is served however many wrong ones come from behind the same proxy.
 */
export function limitMistakes(
  app: FastifyInstance,
  count?: SharedCounter,
): (problem: Problem, request: FastifyRequest) => Promise<Problem> {
  const standingOf = createLimit(app, {
    name: 'mistakes',
    maxOf: () => mostMistakes,
    keyOf: ({ ip }) => normalizeIP(ip.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$|^\[(.+)\](:\d+)?$/, '$1$2'), 64), // some proxies tell the port too
    count,
  })
  return async (problem, request) => {
    if (!mistakes.has(problem.row.status) || app.callerOf(request.headers.authorization)) return problem
    const standing = await standingOf(request)
    return standing.isExceeded ? tooMany('mistakes', standing) : problem
  }
}

/** Holds each caller to its requests per minute. */
export const callerLimit = fp<{ count?: SharedCounter | undefined }>(async function callerLimit(app, { count }) {
  const standingOf = createLimit(app, {
    name: 'requests',
    maxOf: ({ caller }) => caller?.rateLimit?.requestsPerMinute ?? Number.POSITIVE_INFINITY,
    keyOf: ({ caller }) => caller?.name ?? '',
    count,
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.caller?.rateLimit?.requestsPerMinute === undefined) return
    const standing = await standingOf(request)
    if (standing.isExceeded) throw tooMany('requests', standing)
    reply.headers(headersOf('requests', standing))
  })
})

type Standing = { max: number; remaining: number; ttlInSeconds: number; isExceeded: boolean }

type LimitOptions = {
  name: string
  maxOf: (request: FastifyRequest) => number
  keyOf: (request: FastifyRequest) => string
  count: SharedCounter | undefined
}

/** Counts over all processes if it can; else, and while that fails, alone: a lost store is neither a free pass nor an error. */
function createLimit(app: FastifyInstance, { name, maxOf, keyOf, count }: LimitOptions): (request: FastifyRequest) => Promise<Standing> {
  const countAlone = app.createRateLimit({ timeWindow: minuteMs, max: maxOf, keyGenerator: keyOf })
  return async request => {
    const counted = await count?.(name, keyOf(request), minuteMs).catch(() => undefined)
    const max = maxOf(request)
    if (counted) {
      const remaining = Math.max(0, max - counted.count)
      return { max, remaining, ttlInSeconds: Math.ceil(counted.leftMs / 1000), isExceeded: counted.count > max }
    }
    const alone = await countAlone(request)
    return alone.isAllowed ? { max, remaining: max, ttlInSeconds: 0, isExceeded: false } : alone // there is no list of whom it allows all
  }
}

const headersOf = (name: string, { max, remaining, ttlInSeconds }: Standing) =>
  limitHeaders({ name, quota: max, windowS: minuteMs / 1000, remaining, resetS: ttlInSeconds })

const tooMany = (name: string, standing: Standing) =>
  new Problem('rate-limited', { retryAfterS: Math.max(1, standing.ttlInSeconds), headers: headersOf(name, standing) })
