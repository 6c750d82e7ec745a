// Longer than 200 lines, because it shows the whole public server, in the order in which a request meets it.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyPluginAsync, LogController } from 'fastify'
import type { Config } from './config/config.ts'
import type { Observe } from './events.ts'
import { membershipOf } from './lib/addresses.ts'
import type { Lifecycle } from './lib/lifecycle.ts'
import { maxOpenFiles } from './lib/open-files.ts'
import type { Live } from './live/live.ts'
import type { Media } from './media/media.ts'
import { createAccessLog } from './plugins/access-log.ts'
import { createRouteCheck } from './plugins/allowed-methods.ts'
import { createAuthentication } from './plugins/authentication.ts'
import { authorize } from './plugins/authorization.ts'
import { requestIdOf, setCommonHeaders } from './plugins/common-headers.ts'
import { createConnections } from './plugins/connections.ts'
import { createCors } from './plugins/cors.ts'
import { docs } from './plugins/docs.ts'
import { createDraining } from './plugins/draining.ts'
import { errorHandler } from './plugins/error-handler.ts'
import { completeEtag } from './plugins/etag.ts'
import { jsonBody } from './plugins/json-body.ts'
import { lazyCompilers } from './plugins/lazy-schemas.ts'
import { refuseMalformed } from './plugins/malformed-requests.ts'
import { pipelining } from './plugins/pipelining.ts'
import { createMistakeCounter, createRequestLimit, limitMistakes } from './plugins/rate-limit.ts'
import { createRawAnswers, lingerAfterHalfRequest } from './plugins/raw-answers.ts'
import { beginRequest, type RequestSteps, requestSteps } from './plugins/request-steps.ts'
import { createSlowReaders } from './plugins/slow-readers.ts'
import { endSlowRequests } from './plugins/slow-requests.ts'
import { streams } from './plugins/streams.ts'
import { normalizeChat, strictRoutes } from './plugins/strict-routes.ts'
import { ProblemBody, ProblemCodeSchema } from './problem/problem.ts'
import { Channel, ChannelList, channels } from './routes/channels.ts'
import { chats } from './routes/chats.ts'
import { Event, EventList, events } from './routes/events.ts'
import { files, NewFile, NewFileForm } from './routes/files.ts'
import { health, Liveness, Readiness, type State } from './routes/health.ts'
import { GatewayLinks, landing } from './routes/landing.ts'
import { Me, me } from './routes/me.ts'
import { MediaFile, mediaFiles, NewMedia, uploadKeyword } from './routes/media.ts'
import { Message, MessageList, messages, NewMessage } from './routes/messages.ts'
import { Platform, wellFormed } from './routes/params.ts'
import { ProblemExplanation, ProblemList, problemPages } from './routes/problems.ts'
import { publicMedia } from './routes/public-media.ts'
import type { Seal } from './routes/queueing.ts'
import { Send, SendPage, SendVerdict } from './routes/send-schemas.ts'
import { sendLedger } from './routes/sends.ts'
import { NewToken, Token, tokens as tokenRoute } from './routes/tokens.ts'
import { Delivery, DeliveryPage, Redrive, Webhook, WebhookList, WebhookTest, webhookRoutes } from './routes/webhooks.ts'
import type { Sends } from './sends/sends.ts'
import type { SharedCounter } from './store/store.ts'
import type { Tokens } from './tokens/tokens.ts'
import type { Upstream } from './upstream/upstream.ts'
import type { Webhooks } from './webhooks/webhooks.ts'

/** How long the server waits for slow callers. */
export type Timeouts = {
  headersMs: number
  requestMs: number
  /** For files: in all, and without a byte. */
  uploadMs: number
  stallMs: number
  readerMs: number
  checkEveryMs: number
  /** For a store that says nothing, and for a claim; without it, what fits the store. */
  storeMs?: number
}

export const usualTimeouts: Timeouts = {
  headersMs: 10_000,
  requestMs: 15_000,
  uploadMs: 300_000,
  stallMs: 15_000,
  readerMs: 30_000,
  checkEveryMs: 1_000,
}

/** More connections than this cost more memory than they are worth; half of the files that may be open are for calls and the ledger. */
const maxConnections = Math.min(8_192, Math.floor(maxOpenFiles() / 2))

/** What links begin with: the public URL, or nothing. */
export const baseOf = ({ publicUrl }: Config) => publicUrl?.href.replace(/\/$/, '') ?? ''

/** Room for some copies of the API document, however small the answers of Afilnet may be. */
const minWaitingBytes = 16_777_216

export type AppOptions = {
  config: Config
  upstream: Upstream
  sends: Sends
  /** Absent while none is configured. */
  webhooks?: (() => Webhooks | undefined) | undefined
  /** Encrypts what waits in the queue, if there is one. */
  seal?: Seal
  tokens: Tokens
  /** The delivery of events; absent where no account has some. */
  live: () => Live | undefined
  media: Media
  state: () => State
  /** Counts over all processes; without it, or while it rejects, each counts alone. */
  count?: SharedCounter | undefined
  logger: FastifyBaseLogger
  observe: Observe
  lifecycle: Lifecycle
  timeouts?: Timeouts
  /** Sees every request, if requests are traced. */
  tracing?: FastifyPluginAsync | undefined
}

/** The whole public server, in the order in which a request meets it. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { config, upstream, tokens, count, observe, lifecycle, tracing, timeouts = usualTimeouts } = options
  const base = baseOf(config)
  const mistakes = createMistakeCounter(count)
  const rawAnswers = createRawAnswers({ base, observe, mistakes })
  const app = Fastify({
    ...serverOptions(options.logger, config, timeouts),
    clientErrorHandler: rawAnswers.onClientError,
    frameworkErrors: (error, request, reply) => {
      // No route matches a URL that cannot be decoded, so no hook runs.
      beginRequest(request, reply, steps.onClose)
      if (slowReaders.admit(request, reply)) return
      setCommonHeaders(request, reply)
      if (cors.onRequest.length > 0) reply.raw.setHeader('vary', 'Origin')
      if (cors.onRequest.some(check => check(request, reply))) return
      void app.answerProblem(error, request, reply)
    },
  }).withTypeProvider<TypeBoxTypeProvider>()

  const connections = createConnections({
    max: maxConnections,
    keepAliveMs: config.keepAliveMs,
    isTrusted: membershipOf(config.trustProxy),
    observe,
  })
  const slowReaders = createSlowReaders({
    connections,
    readerTimeoutMs: timeouts.readerMs,
    maxWaitingBytes: Math.max(8 * config.maxResponseBytes, minWaitingBytes),
  })
  const cors = createCors(config.corsOrigins, config.mcp)
  const draining = createDraining(lifecycle)
  const { authenticate, cancelIfCallerLeft, isOutdated } = createAuthentication(app, {
    callers: config.callers,
    open: upstream.open,
    openToken: tokens.open,
  })
  const steps: RequestSteps = {
    onRequest: [
      slowReaders.admit,
      setCommonHeaders,
      ...cors.onRequest,
      draining.refuse,
      refuseMalformed,
      createRouteCheck(app),
      authenticate,
      createRequestLimit(app, { shared: count, mcp: config.mcp }),
      normalizeChat,
      authorize,
    ],
    onSend: [completeEtag, slowReaders.complete, ...cors.onSend, draining.endKeepAlive, lingerAfterHalfRequest],
    onClose: [slowReaders.release, draining.release, cancelIfCallerLeft, createAccessLog(observe)],
  }

  app.server.on('connection', connections.accept)
  rawAnswers.listen(app)
  repeatUntilClose(app, timeouts.checkEveryMs, () => {
    slowReaders.closeSlowConnections()
    endSlowRequests(app, connections, timeouts.requestMs)
    connections.closeIdle()
  })

  for (const schema of sharedSchemas) app.addSchema(schema)
  await app.register(errorHandler, {
    base,
    observe,
    instead: limitMistakes(mistakes, ({ caller, headers }) => (caller ?? app.callerOf(headers.authorization)) !== undefined),
  })
  if (tracing) await app.register(tracing)
  await app.register(requestSteps, steps)
  await app.register(streams, { leaveDrain: draining.release, onSend: steps.onSend })
  await app.register(jsonBody)
  await app.register(pipelining, { isOutdated, recheck: [authenticate, authorize], formMs: timeouts.uploadMs })
  await app.register(strictRoutes)
  await app.register(docs, { publicUrl: config.publicUrl, base, serve: config.docs })
  if (config.mcp) await app.register((await import('./routes/mcp.ts')).mcp, { base, hold: slowReaders.hold })
  await registerResources(app, options, base)
  return app
}

function repeatUntilClose(app: FastifyInstance, ms: number, work: () => void) {
  const timer = setInterval(work, ms).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

async function registerResources(app: FastifyInstance, options: AppOptions, base: string) {
  const { config, sends, seal, media, live, tokens, lifecycle, state, webhooks = () => undefined } = options
  const route = { sends, base, keyRequired: config.idempotencyRequired, seal }
  await app.register(health, { lifecycle, state })
  await app.register(landing, { base, docs: config.docs })
  await app.register(problemPages, { base })
  await app.register(me)
  await app.register(channels)
  await app.register(chats)
  await app.register(messages, { route })
  await app.register(files, { route, media })
  await app.register(mediaFiles, { media, base })
  await app.register(publicMedia, { media })
  await app.register(sendLedger, { sends })
  await app.register(events, { live })
  await app.register(tokenRoute, { tokens })
  await app.register(webhookRoutes, { webhooks })
}

/** The schemas that the API document names. */
const sharedSchemas = [
  ProblemCodeSchema,
  ProblemBody,
  Platform,
  Channel,
  ChannelList,
  Message,
  MessageList,
  NewMessage,
  NewFile,
  NewFileForm,
  NewMedia,
  MediaFile,
  Send,
  SendPage,
  SendVerdict,
  Webhook,
  WebhookList,
  Delivery,
  DeliveryPage,
  WebhookTest,
  Redrive,
  Event,
  EventList,
  Me,
  NewToken,
  Token,
  Liveness,
  Readiness,
  ProblemExplanation,
  ProblemList,
  GatewayLinks,
]

/** Nothing is coerced, dropped or filled in. `verbose`, since an error names what was found. */
const ajv = {
  customOptions: {
    coerceTypes: false,
    removeAdditional: false,
    useDefaults: false,
    allErrors: false,
    verbose: true,
    keywords: [wellFormed, uploadKeyword],
  },
}

function serverOptions(logger: FastifyBaseLogger, config: Config, { headersMs, requestMs, uploadMs, checkEveryMs }: Timeouts) {
  return {
    loggerInstance: logger,
    childLoggerFactory: (parent: FastifyBaseLogger) => parent, // the lines of a request name it themselves
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 65_536,
    routerOptions: { maxParamLength: 8_192 },
    requestIdHeader: false,
    trustProxy: config.trustProxy.length > 0 && [...config.trustProxy],
    genReqId: requestIdOf,
    return503OnClosing: false, // `draining` answers 503 with a problem
    keepAliveTimeout: config.keepAliveMs,
    requestTimeout: Math.max(uploadMs + requestMs, headersMs), // `endSlowRequests` ends all but uploads sooner
    http: {
      headersTimeout: headersMs,
      connectionsCheckingInterval: checkEveryMs,
      requireHostHeader: false,
      maxHeaderSize: 16_384,
    },
    ajv,
    schemaController: { compilersFactory: lazyCompilers },
  } as const
}
