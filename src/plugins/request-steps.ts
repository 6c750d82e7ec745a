import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Problem } from '../problem/problem.ts'
import { type Connection, connectionOf } from './connections.ts'

declare module 'fastify' {
  interface FastifyRequest {
    startedAt: number
    connection: Connection
    /** What the route declares, and its pattern. Fastify makes `routeOptions` anew, with twelve properties, each time it is asked. */
    route: FastifyContextConfig & { url?: string }
    /** Set while files arrive, which takes longer than other bodies may. */
    isUpload?: boolean
  }
}

/** Lets a request pass (`undefined`), refuses it (a `Problem`), or has answered it already (the reply). */
export type Check = (request: FastifyRequest, reply: FastifyReply) => Problem | FastifyReply | undefined | Promise<Problem | undefined>

/** Completes an answer before it leaves; returns its payload, or throws a `Problem` to answer instead. */
export type Completion = (request: FastifyRequest, reply: FastifyReply, payload: unknown) => unknown

/** Runs once an answer is written as a whole, or its connection is lost before. */
export type Cleanup = (request: FastifyRequest, reply: FastifyReply, isWhole: boolean) => void

export type RequestSteps = { onRequest: readonly Check[]; onSend: readonly Completion[]; onClose: readonly Cleanup[] }

/** Runs three lists for each request, in order. One hook and one listener each: a hook for every step cost more than the steps. */
export const requestSteps = fp<RequestSteps>(async function requestSteps(app, { onRequest, onSend, onClose }) {
  app.decorateRequest('route')
  app.decorateRequest('connection')
  app.addHook('onRequest', (request, reply, done) => {
    beginRequest(request, reply, onClose)
    runChecks(onRequest, 0, request, reply, done)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    let body: unknown = payload
    try {
      for (const complete of onSend) body = complete(request, reply, body)
    } catch (problem) {
      return done(problem as Error) // completions throw nothing else
    }
    done(null, body)
  })
})

/** Notes the beginning of a request, and its end when that comes. */
export function beginRequest(request: FastifyRequest, reply: FastifyReply, onClose: readonly Cleanup[]) {
  const { raw } = reply
  const connection = connectionOf(request.raw.socket)
  const { open } = connection
  request.connection = connection
  request.startedAt = performance.now()
  request.route = request.routeOptions.config
  open.push(reply)
  raw.on('close', () => {
    if (open[0] === reply) open.shift()
    else open.splice(open.indexOf(reply), 1)
    connection.idleSince = performance.now()
    connection.answeredEarly = request.raw.complete ? undefined : request.raw
    // The answer to a call of an agent has no socket, which could say that it was written.
    const isWhole = raw.writableFinished || ('isLightMyRequest' in raw && raw.writableEnded)
    for (const cleanUp of onClose) cleanUp(request, reply, isWhole)
  })
}

type Done = (problem?: Error) => void

/** Waits only for a check that returns a promise. */
export function runChecks(checks: readonly Check[], from: number, request: FastifyRequest, reply: FastifyReply, done: Done) {
  for (let i = from; i < checks.length; i++) {
    const result = checks[i]?.(request, reply)
    if (result === undefined) continue
    if (result === reply) return
    if (!(result instanceof Promise)) return done(result as Problem)
    result.then(problem => (problem ? done(problem) : runChecks(checks, i + 1, request, reply, done))).catch(done)
    return
  }
  done()
}
