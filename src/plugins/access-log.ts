import type { FastifyInstance } from 'fastify'
import type { Observe } from '../events.ts'
import type { Cleanup } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Methods and patterns of all routes. */
    routes: { method: string; url: string }[]
  }
  interface FastifyRequest {
    /** Where to find the request among the traces; only if it is traced. */
    traceId?: string | undefined
  }
}

/** Reports each request when it is over: by the pattern of its route, never by its URL. */
export function createAccessLog(app: FastifyInstance, observe: Observe): Cleanup {
  app.decorate('routes', [])
  app.addHook('onRoute', ({ method, url }) => void app.routes.push(...[method].flat().map(method => ({ method, url }))))

  return ({ id, traceId, method, route, caller, call, startedAt }, { raw, problemCode }, isWhole) => {
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
}
