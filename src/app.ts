import { fastifyRateLimit } from '@fastify/rate-limit'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyPluginAsync, LogController } from 'fastify'
import type { Config } from './config/config.ts'
import type { Observe } from './events.ts'
import type { Lifecycle } from './lib/lifecycle.ts'
import { accessLog, tellWhenClosed } from './plugins/access-log.ts'
import { auth } from './plugins/authentication.ts'
import { rights } from './plugins/authorization.ts'
import { answers, commonHeaders } from './plugins/common-headers.ts'
import { cors } from './plugins/cors.ts'
import { docs } from './plugins/docs.ts'
import { draining } from './plugins/draining.ts'
import { problems } from './plugins/error-handler.ts'
import { json } from './plugins/json-body.ts'
import { http, onClientError, requestIdOf } from './plugins/malformed-requests.ts'
import { callerLimit, limitMistakes } from './plugins/rate-limit.ts'
import { ProblemBody } from './problem/problem.ts'
import { Channel, channels } from './routes/channels.ts'
import { chats } from './routes/chats.ts'
import { files } from './routes/files.ts'
import { health, type State } from './routes/health.ts'
import { me } from './routes/me.ts'
import { Message, messages } from './routes/messages.ts'
import { problemPages } from './routes/problems.ts'
import { Send, sendLedger } from './routes/sends.ts'
import type { Sends } from './sends/sends.ts'
import type { SharedCounter } from './store/store.ts'
import type { Upstream } from './upstream/upstream.ts'

/** How patient the server is with slow callers. */
export type Patience = { headersMs: number; requestMs: number; readerMs: number; checkEveryMs: number }

const patience: Patience = { headersMs: 10_000, requestMs: 15_000, readerMs: 30_000, checkEveryMs: 1_000 }

/** What links begin with: the public URL, or nothing. */
export const baseOf = ({ publicUrl }: Config) => publicUrl?.href.replace(/\/$/, '') ?? ''

/** Room for some copies of the API document, however small the answers of Afilnet may be. */
const leastWaitingBytes = 16_777_216

type AppOptions = {
  config: Config
  upstream: Upstream
  sends: Sends
  state: () => State
  /** Counts over all processes; without it, or while it rejects, each counts alone. */
  count?: SharedCounter | undefined
  logger: FastifyBaseLogger
  observe: Observe
  lifecycle: Lifecycle
  patience?: Partial<Patience> | undefined
  /** Sees every request, if requests are traced. */
  tracing?: FastifyPluginAsync | undefined
}

/** The whole public server, in the order in which a request meets it. */
export async function createApp({
  config,
  upstream,
  sends,
  state,
  count,
  logger,
  observe,
  lifecycle,
  patience: given,
  tracing,
}: AppOptions): Promise<FastifyInstance> {
  const { headersMs, requestMs, readerMs, checkEveryMs } = { ...patience, ...given }
  const base = baseOf(config)
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 65_536,
    routerOptions: { maxParamLength: 8_192 },
    requestIdHeader: false,
    trustProxy: config.trustProxy.length > 0 && [...config.trustProxy],
    genReqId: ({ headers }) => requestIdOf(headers),
    return503OnClosing: false, // the health plugin answers 503 as a problem
    requestTimeout: requestMs,
    http: {
      requestTimeout: requestMs,
      headersTimeout: headersMs,
      connectionsCheckingInterval: checkEveryMs,
      requireHostHeader: false,
      maxHeaderSize: 16_384,
    },
    clientErrorHandler: onClientError(base, observe),
    frameworkErrors: (error, request, reply) => {
      // A URL that cannot be decoded meets no route, and so no hook.
      commonHeaders(request, reply)
      tellWhenClosed(observe, request, reply)
      void app.answerProblem(error, request, reply)
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false } },
  }).withTypeProvider<TypeBoxTypeProvider>()

  for (const schema of [ProblemBody, Channel, Message, Send]) app.addSchema(schema)
  await app.register(fastifyRateLimit, { global: false })
  await app.register(problems, { base, observe, instead: limitMistakes(app, count) })
  if (tracing) await app.register(tracing)
  await app.register(answers, { readerTimeoutMs: readerMs, maxWaitingBytes: Math.max(8 * config.maxResponseBytes, leastWaitingBytes) })
  await app.register(cors, { origins: config.corsOrigins })
  await app.register(accessLog, { observe })
  await app.register(draining, { lifecycle })
  await app.register(http, { base, observe })
  await app.register(json)
  await app.register(auth, { callers: config.callers, open: upstream.open })
  await app.register(callerLimit, { count })
  await app.register(rights)
  await app.register(docs, { publicUrl: config.publicUrl, base, serve: config.docs })
  await app.register(health, { lifecycle, state })

  const route = { sends, base, keyRequired: config.idempotencyRequired }
  await app.register(problemPages)
  await app.register(me)
  await app.register(channels, { upstream })
  await app.register(chats, { upstream })
  await app.register(messages, { upstream, route })
  await app.register(files, { upstream, route })
  await app.register(sendLedger, { sends })
  return app
}
