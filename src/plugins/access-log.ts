import type { Observe } from '../events.ts'
import type { Cleanup } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where to find the request among the traces; only if it is traced. */
    traceId?: string | undefined
  }
}

/** Reports each request when it is over: by the pattern of its route, never by its URL. */
export const createAccessLog =
  (observe: Observe): Cleanup =>
  ({ id, traceId, method, route, caller, call, startedAt }, { raw, problemCode }, isWhole) => {
    observe('requestEnded', {
      requestId: id,
      traceId,
      method,
      route: route.url,
      status: isWhole ? raw.statusCode : undefined,
      code: problemCode,
      caller: caller?.name,
      actor: caller?.token?.actor,
      ms: performance.now() - startedAt,
      upstreamMs: call?.upstreamMs,
      upstreamCode: call?.upstreamCode,
    })
  }
