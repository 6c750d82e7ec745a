import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { type Config, usualAdminPort } from './config/config.ts'
import { type Observe, unobserved } from './events.ts'
import { isLoopbackHost } from './lib/addresses.ts'
import { createRouteCheck } from './plugins/allowed-methods.ts'
import type { CallerReport } from './plugins/authentication.ts'
import { requestIdOf, setCommonHeaders } from './plugins/common-headers.ts'
import { errorHandler } from './plugins/error-handler.ts'
import { listen } from './plugins/listeners.ts'
import { refuseMalformed } from './plugins/malformed-requests.ts'
import { createMistakeCounter } from './plugins/rate-limit.ts'
import { createRawAnswers, lingerAfterHalfRequest } from './plugins/raw-answers.ts'
import { beginRequest, type Check, requestSteps } from './plugins/request-steps.ts'
import { Problem } from './problem/problem.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { AccountReport } from './upstream/upstream.ts'

type AdminOptions = {
  metrics: Metrics
  reportCallers: () => CallerReport[]
  reportAccounts: () => AccountReport[]
  host: string
  logger: FastifyBaseLogger
  observe: Observe
}

/** Far more than operators need; what else reaches the listener must not use up memory and file descriptors. */
const maxConnections = 64

/** What only the operator may see, on a listener of its own; it asks for no key and changes nothing. */
export async function createAdmin({ metrics, reportCallers, reportAccounts, host, logger, observe }: AdminOptions) {
  const rawAnswers = createRawAnswers({ base: '', observe: unobserved, mistakes: createMistakeCounter() })
  const app = Fastify({
    loggerInstance: logger.child({}, { level: 'warn' }), // the start line says where it listens
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestIdOf,
    requestTimeout: 10_000,
    return503OnClosing: false,
    forceCloseConnections: true, // no caller's request is lost with them
    http: { requireHostHeader: false },
    clientErrorHandler: rawAnswers.onClientError,
    frameworkErrors: (error, request, reply) => {
      beginRequest(request, reply, [])
      setCommonHeaders(request, reply)
      app.sendProblem(error, request, reply)
    },
  })
  app.server.maxConnections = maxConnections
  rawAnswers.listen(app)
  await app.register(errorHandler, { base: '', observe })
  await app.register(requestSteps, {
    onRequest: [refusePipelined, setCommonHeaders, noStore, refuseMalformed, createHostCheck(host), createRouteCheck(app)],
    onSend: [lingerAfterHalfRequest],
    onClose: [],
  })
  app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  app.get('/health/upstream', async () => ({ items: reportAccounts() }))
  app.get('/callers', async () => ({ items: reportCallers() }))
  return app
}

/** Closes a connection that pipelines requests: thousands fit into one packet, and the metrics are large. */
const refusePipelined: Check = ({ connection: { socket, open } }, reply) => {
  if (open.length === 1) return undefined
  socket.destroy()
  return reply
}

const noStore: Check = (_, reply) => {
  reply.header('cache-control', 'no-store')
  return undefined
}

/** Refuses other names on loopback: a page in a browser on this machine could make a name of its own resolve to this listener. */
function createHostCheck(host: string): Check {
  if (!isLoopbackHost(host)) return () => undefined
  return ({ headers }) =>
    isLoopbackHost(headers.host)
      ? undefined
      : new Problem('invalid-request', { detail: 'This listener answers only to localhost and loopback addresses in the Host header.' })
}

/** The default admin port in use must not keep the gateway from starting: it was not chosen. */
export async function listenForAdmin(admin: FastifyInstance, { adminHost: host, adminPort }: Config, logger: FastifyBaseLogger) {
  try {
    await listen(admin, host, adminPort ?? usualAdminPort, 1)
  } catch (error) {
    if (adminPort !== undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error // node:net throws nothing else
    logger.warn({ port: usualAdminPort }, 'admin port in use, starting without the admin listener; set ADMIN_PORT to another port')
    return false
  }
  if (!isLoopbackHost(host)) logger.warn({ host }, 'admin listener reachable from other machines; it requires no key')
  return true
}
