import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/** One line for each request: its route pattern, never its URL. */
export const accessLog = fp(async function accessLog(app) {
  app.addHook('onRequest', (request, reply, done) => {
    logWhenClosed(app.log, request, reply)
    done()
  })
})

/** Writes the line of a request once it is answered or given up. */
export function logWhenClosed(log: FastifyBaseLogger, request: FastifyRequest, reply: FastifyReply) {
  const startedAt = performance.now()
  reply.raw.once('close', () => {
    const { id, method, routeOptions, caller, call } = request
    const { writableFinished, statusCode } = reply.raw
    log.info(
      {
        requestId: id,
        method,
        route: routeOptions.url,
        ...(writableFinished ? { status: statusCode } : { aborted: true }),
        code: reply.problemCode,
        caller: caller?.name,
        ms: Math.round(performance.now() - startedAt),
        upstreamMs: call?.upstreamMs,
        upstreamCode: call?.upstreamCode,
      },
      'request',
    )
  })
}
