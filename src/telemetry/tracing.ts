import { FastifyOtelInstrumentation } from '@fastify/otel'
import { type Context, ROOT_CONTEXT, type SpanContext, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { UpstreamError } from '../afilnet/faults.ts'
import type { TracingConfig } from '../config/tracing.ts'
import { membershipOf } from '../lib/addresses.ts'
import { createSteadyState } from '../lib/steady-state.ts'
import { withTimeout } from '../lib/timeout.ts'
import type { Call, TraceAttempt } from '../upstream/call.ts'
import { version } from '../version.ts'
import { describeSpan, endOpenSpan } from './request-span.ts'

export type Tracing = ReturnType<typeof startTracing>

/** Every attribute that is exported. The plugin's own attributes contain the URL. */
const exported = [
  'http.request.method',
  'http.route',
  'http.response.status_code',
  'error.type',
  'gateway.caller',
  'gateway.account',
  'gateway.operation',
  'gateway.upstream_code',
  'gateway.outcome',
]

const samplers = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio: number) => new TraceIdRatioBasedSampler(ratio),
}

/**
 * Exports spans of requests and of their calls to Afilnet to a collector.
 *
 * A caller's `traceparent` counts only if the connection comes from an address in `trusted`.
 */
export function startTracing(config: TracingConfig, trusted: readonly string[], logger: FastifyBaseLogger) {
  let { headers } = config
  const exporter = new OTLPTraceExporter({
    url: `${config.endpoint.href.replace(/\/$/, '')}/v1/traces`,
    headers: async () => ({ ...headers }),
    concurrencyLimit: 4,
  })
  const provider = new NodeTracerProvider({
    sampler: samplerOf(config),
    spanProcessors: [new BatchSpanProcessor(withoutSecrets(exporter, config, logger))],
  })
  // Contexts are passed explicitly, since Node's do not survive the reading of a body.
  provider.register({ contextManager: null })
  const tracer = provider.getTracer('afilnet-gateway')
  const requests = new FastifyOtelInstrumentation({
    instrumentHooks: false,
    instrumentHandler: false,
    recordExceptions: false,
    ignorePaths: () => false, // or it would ask the environment
    requestHook(span, request) {
      const { method, routeOptions } = request
      span.updateName(routeOptions.url === undefined ? method : `${method} ${routeOptions.url}`)
      request.traceId = span.spanContext().traceId
    },
  })
  requests.setTracerProvider(provider)
  const isTrusted = membershipOf(trusted)
  const contexts = new WeakMap<Call, Context>()

  const plugin = fp(async function tracing(app) {
    app.decorateRequest('traceId', undefined)
    app.addHook('onRequest', ({ raw }: FastifyRequest, _, done) => {
      delete raw.headers.baggage
      const isOurs = () => 'isLightMyRequest' in raw // the call of an agent, which goes on in the trace of its message
      // Without it, `tracestate` is not read either.
      if (raw.headers.traceparent !== undefined && !isOurs() && !isTrusted(raw.socket.remoteAddress)) delete raw.headers.traceparent
      done()
    })
    await app.register(requests.plugin())
    app.addHook('preValidation', (request, reply, done) => {
      if (request.call) contexts.set(request.call, request.opentelemetry().context ?? ROOT_CONTEXT)
      if (request.route.streams) reply.raw.once('close', () => endOpenSpan(request, reply))
      done()
    })
    // The plugin ends the span in a hook of the route, which comes after all hooks of this kind.
    app.addHook('onSend', (request, reply, payload, done) => {
      describeSpan(request, reply)
      done(null, payload)
    })
  })

  return {
    /** Register it before every plugin that may answer a request. */
    plugin,
    traceAttempt: attemptTracer(tracer, contexts),
    useHeaders(next: TracingConfig['headers']) {
      headers = next
    },
    /** Exports the remaining spans, within that time. */
    async stop(withinMs: number) {
      await withTimeout(withinMs, provider.shutdown(), () => new Error('timeout')).catch(() => {}) // the log has it
    },
  }
}

/** A span for each attempt at a call, inside that of its request. */
function attemptTracer(tracer: Tracer, contexts: WeakMap<Call, Context>): TraceAttempt {
  return (call, { method }) => {
    const attributes = { 'gateway.operation': method, 'gateway.caller': call.caller, 'gateway.account': call.account.name }
    const span = tracer.startSpan(method, { kind: SpanKind.CLIENT, attributes }, contexts.get(call) ?? ROOT_CONTEXT)
    return error => {
      const known = error instanceof UpstreamError ? error : undefined
      if (error !== undefined)
        span.setStatus({ code: SpanStatusCode.ERROR }).setAttributes({
          'error.type': known?.fault.code ?? '_OTHER',
          'gateway.upstream_code': known?.upstreamCode,
          'gateway.outcome': known?.outcome,
        })
      span.end()
    }
  }
}

function samplerOf({ sampler, ratio }: TracingConfig) {
  const root = sampler.replace('parentbased_', '') as keyof typeof samplers // the configuration knows no others
  return sampler.startsWith('parentbased_')
    ? new ParentBasedSampler({ root: samplers[root](ratio) })
    : samplers[sampler as typeof root](ratio)
}

/** A caller can write any text into `tracestate`. */
const withoutState = ({ traceState: _, ...context }: SpanContext): SpanContext => context

/** Strips each span to the listed attributes, and logs once when the collector rejects spans and once when it accepts them again. */
function withoutSecrets(exporter: SpanExporter, { serviceName }: TracingConfig, logger: FastifyBaseLogger): SpanExporter {
  const attributes = { 'service.name': serviceName, 'service.version': version }
  const resource: ReadableSpan['resource'] = { attributes, merge: () => resource, getRawAttributes: () => Object.entries(attributes) }
  const collector = createSteadyState<Error | undefined>((ok, error) => {
    if (ok) logger.info('trace collector accepts spans again')
    else logger.warn({ code: (error as NodeJS.ErrnoException | undefined)?.code }, 'trace collector rejects spans')
  })

  // A copy, field by field: one that inherits from its span costs ten times as much, here and in the exporter.
  const strip = (span: ReadableSpan): ReadableSpan => ({
    name: span.name,
    kind: span.kind,
    spanContext: () => withoutState(span.spanContext()),
    ...(span.parentSpanContext && { parentSpanContext: withoutState(span.parentSpanContext) }),
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: { code: statusOf(span) },
    attributes: Object.fromEntries(exported.filter(key => span.attributes[key] !== undefined).map(key => [key, span.attributes[key]])),
    events: [],
    links: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    instrumentationScope: span.instrumentationScope,
    resource,
  })

  return {
    export(spans, done) {
      exporter.export(spans.map(strip), result => {
        const ok = result.code === 0 // SUCCESS; the enum is in a package that is not a dependency
        collector.set(ok, result.error)
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  }
}

/** A caller's mistake is not an error of the server, but the plugin marks every exception as one. */
const statusOf = ({ kind, status, attributes }: ReadableSpan) =>
  kind === SpanKind.SERVER && Number(attributes['http.response.status_code']) < 500 ? SpanStatusCode.UNSET : status.code
