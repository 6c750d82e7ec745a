import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { commonHeaders } from './edge/answers.ts'
import type { CallerReport } from './edge/auth.ts'
import { http } from './edge/http.ts'
import { problems } from './edge/problems.ts'
import { isLoopback } from './hosts.ts'
import type { Metrics } from './metrics.ts'
import { Problem } from './problem.ts'

type AdminOptions = { metrics: Metrics; reportCallers: () => CallerReport[]; host: string; logger: FastifyBaseLogger }

/** What only the operator may see, on a listener of its own; it asks for no key and changes nothing. */
export async function createAdmin({ metrics, reportCallers, host, logger }: AdminOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    requestTimeout: 10_000,
    return503OnClosing: false,
  })
  const local = isLoopbackHost(host)
  await app.register(problems, { base: '' })
  app.addHook('onRequest', async (request, reply) => {
    commonHeaders(request, reply)
    reply.header('cache-control', 'no-store')
    // A page in a browser on this machine could have a name of its own resolve to this listener.
    if (local && !isLoopbackHost(request.headers.host)) {
      throw new Problem('invalid-request', { detail: 'This listener answers under a name of this machine only' })
    }
  })
  await app.register(http, { base: '' })
  app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  app.get('/callers', async () => ({ items: reportCallers() }))
  return app
}

/** Whether a host, with or without a port, is this machine itself. */
export function isLoopbackHost(host = ''): boolean {
  const url = URL.parse(`http://${host.includes('::') && !host.startsWith('[') ? `[${host}]` : host}`)
  return url !== null && isLoopback(url)
}
