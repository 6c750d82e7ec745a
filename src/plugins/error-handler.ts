import { randomUUID } from 'node:crypto'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { UpstreamError } from '../afilnet/faults.ts'
import type { Observe } from '../events.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { undecodable } from '../problem/invalid-request.ts'
import { problemOf } from '../problem/of-upstream.ts'
import { Problem, problemBody } from '../problem/problem.ts'
import { closeAfter } from './connections.ts'
import { schemaProblem } from './schema-errors.ts'

/** Statuses that Fastify decides on before a handler runs, as our codes. */
const byStatus: Record<number, ProblemCode> = {
  400: 'invalid-request',
  413: 'payload-too-large',
  414: 'uri-too-long',
  415: 'unsupported-media-type',
}

/** The types of body that the route takes. */
const takenBy = ({ routeOptions: { schema } }: FastifyRequest) =>
  Object.keys((schema?.body as { content?: object } | undefined)?.content ?? { 'application/json': true }).join(' or ')

const bytesOf = ({ headers }: FastifyRequest) => headers['content-length'] ?? 'more'

/** What was found and what is expected, by Fastify's codes. */
const fastifyDetails: Record<string, (request: FastifyRequest) => string> = {
  FST_ERR_BAD_URL: () => undecodable('path'),
  FST_ERR_CTP_BODY_TOO_LARGE: request => `The body has ${bytesOf(request)} bytes; the gateway accepts 65,536.`,
  FST_ERR_CTP_INVALID_MEDIA_TYPE: request =>
    request.headers['content-type'] === undefined
      ? `The body has no header Content-Type; send ${takenBy(request)}.`
      : `The header Content-Type does not say ${takenBy(request)}.`,
}

type ErrorHandlerOptions = {
  base: string
  observe: Observe
  /** May choose another problem to answer with. */
  instead?: (problem: Problem, request: FastifyRequest) => Problem | Promise<Problem>
}

/** The only place that writes an error answer. */
export const errorHandler = fp<ErrorHandlerOptions>(async function errorHandler(app, { base, observe, instead = problem => problem }) {
  app.decorate('sendProblem', (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const problem = toProblem(error, request)
    if (problem.code === 'internal-error')
      observe('internalError', { err: problem.details.cause ?? error, requestId: request.id, traceId: request.traceId })
    reply.problemCode = problem.code
    const body = problem.details.recorded ?? problemBody(problem, { base, requestId: request.id, instance: randomUUID() })
    reply
      .code(body.status)
      .removeHeader('etag') // of the answer that this one replaces
      .headers({ ...problem.headers, 'cache-control': 'no-store' })
      .type('application/problem+json')
    if (reply.getHeader('connection') === 'close') closeAfter(reply)
    return reply.send(JSON.stringify(body))
  })
  app.decorateReply('problemCode')
  const answer = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const problem = instead(toProblem(error, request), request)
    if (problem instanceof Promise) return problem.then(chosen => app.sendProblem(chosen, request, reply))
    return app.sendProblem(problem, request, reply)
  }
  app.decorate('answerProblem', answer)
  app.setErrorHandler(answer)
})

declare module 'fastify' {
  interface FastifyInstance {
    sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
    /** The same, unless something else is to be answered instead. */
    answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply | Promise<FastifyReply>
  }
  interface FastifyReply {
    problemCode?: ProblemCode
  }
}

function toProblem(error: unknown, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error
  // The caller has left and does not read this answer; the gateway has no fault.
  if (error && (error === request.raw.errored || error === request.call?.cancellation.reason)) return new Problem('request-timeout')
  if (error instanceof UpstreamError) return problemOf(error)
  const { statusCode, validation, validationContext, code } = error as Partial<FastifyError> // Fastify's own error, or an internal fault without these
  if (validation?.[0]) return schemaProblem(validation[0], validationContext, request)
  const known = code?.startsWith('FST_ERR_') ? byStatus[statusCode ?? 0] : undefined
  if (known) return new Problem(known, { detail: fastifyDetails[code ?? '']?.(request) })
  // Past the point where a call to Afilnet may have left, the gateway cannot promise that nothing happened.
  return new Problem('internal-error', { outcome: request.call?.unsafeStarted ? 'unknown' : 'not_applied', cause: error })
}
