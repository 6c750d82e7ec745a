import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Observe } from '../events.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The routes that requests are told by: methods and patterns. */
    routes: { method: string; url: string }[]
  }
  interface FastifyRequest {
    /** Where the request is found among the traces; only while there are any. */
    traceId?: string | undefined
  }
}

/** Tells of each request: by its route's pattern, never by its URL. */
export const accessLog = fp<{ observe: Observe }>(async function accessLog(app, { observe }) {
  app.decorate('routes', [])
  app.addHook('onRoute', ({ method, url }) => void app.routes.push(...[method].flat().map(method => ({ method, url }))))
  app.addHook('onRequest', (request, reply, done) => {
    tellWhenClosed(observe, request, reply)
    done()
  })
})

/** Tells of a request once it is answered or given up. */
export function tellWhenClosed(observe: Observe, request: FastifyRequest, reply: FastifyReply) {
  const startedAt = performance.now()
  reply.raw.once('close', () => {
    const { id, traceId, method, routeOptions, caller, call } = request
    const { writableFinished, statusCode } = reply.raw
    observe('requestEnded', {
      requestId: id,
      traceId,
      method,
      route: routeOptions.url,
      status: writableFinished ? statusCode : undefined,
      code: reply.problemCode,
      caller: caller?.name,
      ms: performance.now() - startedAt,
      upstreamMs: call?.upstreamMs,
      upstreamCode: call?.upstreamCode,
    })
  })
}
