import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type TokenGrant, tokenRequestsPerMinute } from '../access.ts'
import { networkOf } from '../lib/addresses.ts'
import { createRateWindows, type RateStatus } from '../lib/rate-windows.ts'
import { type LimitHeaders, limitHeaders } from '../lib/ratelimit-headers.ts'
import { Problem } from '../problem/problem.ts'
import type { SharedCounter } from '../store/store.ts'
import type { Caller } from './authentication.ts'
import type { Check } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The handler answers a request beyond a limit itself: `request.limited` has the problem. */
    limitedByHandler?: true
  }
  interface FastifyRequest {
    /** The refusal of a request that its handler answers itself. */
    limited?: Problem | undefined
  }
  interface FastifyInstance {
    /** Counts a request of its caller, and refuses one beyond a limit. */
    limitRequest(request: FastifyRequest, reply: FastifyReply): Limited
  }
}

type Limited = Problem | undefined | Promise<Problem | undefined>

const windowMs = 60_000

/** How many answers of these kinds an address gets in a minute, before it gets 429 instead. */
const maxMistakes = 900
const mistakeStatuses = new Set([400, 401, 404])

/** Counts requests of a key. */
export type RequestCounter = {
  /** Over all processes if they share a counter and it answers: a lost store is neither a free pass nor an error. */
  count(key: string, max?: number): RateStatus | Promise<RateStatus>
  /** In this process alone. */
  countHere(key: string, max?: number): RateStatus
}

function createCounter(name: string, shared: SharedCounter | undefined): RequestCounter {
  const windows = createRateWindows({ windowMs, maxKeys: 5_000 })
  const countHere = (key: string, max = maxMistakes) => windows.count(key, max)
  const countShared = async (counter: SharedCounter, key: string, max = maxMistakes): Promise<RateStatus> => {
    const counted = await counter(name, key, windowMs).catch(() => undefined)
    if (!counted) return countHere(key, max)
    return { max, remaining: Math.max(0, max - counted.count), resetMs: counted.leftMs, isExceeded: counted.count > max }
  }
  return { countHere, count: (key, max) => (shared ? countShared(shared, key, max) : countHere(key, max)) }
}

/** Counts the mistakes of an address. */
export const createMistakeCounter = (shared?: SharedCounter): RequestCounter => createCounter('mistakes', shared)

/**
 * Bounds how many mistakes an address may make: returns the problem to answer with instead.
 *
 * Only such answers count and only they are withheld, so a valid key is served however many wrong ones come from behind the same proxy.
 */
export function limitMistakes(
  { count }: RequestCounter,
  isKnown: (request: FastifyRequest) => boolean,
): (problem: Problem, request: FastifyRequest) => Problem | Promise<Problem> {
  return (problem, request) => {
    if (!mistakeStatuses.has(problem.row.status) || isKnown(request)) return problem
    const instead = (status: RateStatus) => (status.isExceeded ? tooManyRequests('mistakes', status) : problem)
    const status = count(networkOf(request.ip))
    return status instanceof Promise ? status.then(instead) : instead(status)
  }
}

/** Holds each caller to its requests per minute, and each token to its own besides. */
export function createRequestLimit(app: FastifyInstance, { shared, mcp }: { shared?: SharedCounter | undefined; mcp: boolean }): Check {
  const { count } = createCounter('requests', shared)
  const tokens = createCounter('tokens', shared)

  function limit(caller: Caller, reply: FastifyReply, ofToken?: LimitHeaders) {
    const max = caller.rateLimit?.requestsPerMinute
    if (max === undefined) return undefined
    const status = count(caller.name, max)
    return status instanceof Promise ? status.then(counted => holdTo(counted, reply, ofToken)) : holdTo(status, reply, ofToken)
  }
  /** A page that asks too often uses up nothing of its issuer. */
  async function limitToken(caller: Caller, { id }: TokenGrant, reply: FastifyReply) {
    const own = await tokens.count(id, tokenRequestsPerMinute)
    if (own.isExceeded) return tooManyRequests('token', own)
    const headers = headersOf('token', own)
    reply.headers(headers)
    return limit(caller, reply, headers)
  }
  const limitRequest = ({ caller }: FastifyRequest, reply: FastifyReply): Limited =>
    caller && (caller.token ? limitToken(caller, caller.token, reply) : limit(caller, reply))
  app.decorate('limitRequest', limitRequest)
  return (request, reply) => {
    if (mcp && 'isLightMyRequest' in request.raw) return undefined // the call of an agent, which was counted when it arrived
    const limited = limitRequest(request, reply)
    if (!request.route.limitedByHandler) return limited
    return Promise.resolve(limited).then(problem => {
      request.limited = problem
      return undefined
    })
  }
}

function holdTo(status: RateStatus, reply: FastifyReply, ofToken?: LimitHeaders) {
  if (status.isExceeded) return tooManyRequests('requests', status)
  const headers = headersOf('requests', status)
  if (ofToken) for (const name of ['ratelimit-policy', 'ratelimit'] as const) headers[name] = `${ofToken[name]}, ${headers[name]}`
  reply.headers(headers)
  return undefined
}

const secondsOf = ({ resetMs }: RateStatus) => Math.ceil(resetMs / 1_000)

const headersOf = (name: string, status: RateStatus) =>
  limitHeaders({ name, quota: status.max, windowS: windowMs / 1_000, remaining: status.remaining, resetS: secondsOf(status) })

/** The refusal of a request beyond a limit. */
export const tooManyRequests = (name: string, status: RateStatus) =>
  new Problem('rate-limited', { retryAfterS: Math.max(1, secondsOf(status)), headers: headersOf(name, status) })
