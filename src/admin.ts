import { isIPv6 } from 'node:net'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { type Observe, unobserved } from './events.ts'
import { isLoopback } from './lib/addresses.ts'
import type { CallerReport } from './plugins/authentication.ts'
import { commonHeaders } from './plugins/common-headers.ts'
import { problems } from './plugins/error-handler.ts'
import { http, onClientError, requestIdOf } from './plugins/malformed-requests.ts'
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

/** What only the operator may see, on a listener of its own; it asks for no key and changes nothing. */
export async function createAdmin({
  metrics,
  reportCallers,
  reportAccounts,
  host,
  logger,
  observe,
}: AdminOptions): Promise<FastifyInstance> {
  const local = isLoopbackHost(host)
  const app = Fastify({
    loggerInstance: logger.child({}, { level: 'warn' }), // where it listens is told with the rest
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: ({ headers }) => requestIdOf(headers),
    requestTimeout: 10_000,
    return503OnClosing: false,
    forceCloseConnections: true, // nobody's request is lost with them
    http: { requireHostHeader: false },
    clientErrorHandler: onClientError('', unobserved),
    frameworkErrors: (error, request, reply) => {
      commonHeaders(request, reply)
      app.sendProblem(error, request, reply)
    },
  })
  await app.register(problems, { base: '', observe })
  app.addHook('onRequest', (request, reply, done) => {
    commonHeaders(request, reply)
    reply.header('cache-control', 'no-store')
    // A page in a browser on this machine could have a name of its own resolve to this listener.
    const foreign = local && !isLoopbackHost(request.headers.host)
    done(foreign ? new Problem('invalid-request', { detail: 'This listener answers under a name of this machine only' }) : undefined)
  })
  await app.register(http, { base: '', observe: unobserved })
  app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  app.get('/health/upstream', async () => ({ items: reportAccounts() }))
  app.get('/callers', async () => ({ items: reportCallers() }))
  return app
}

/** Whether a host, with or without a port, is this machine itself. */
export function isLoopbackHost(host = ''): boolean {
  const url = URL.parse(`http://${isIPv6(host) ? `[${host}]` : host}`)
  return url !== null && isLoopback(url)
}
