import { validateHeaderName, validateHeaderValue } from '../lib/node-http.ts'
import { readUrl } from './url.ts'
import { type Report, type Values, Variables } from './variables.ts'

/** Where traces go, and how many of them. */
export type TracingConfig = {
  endpoint: URL
  /** For the collector, which may ask for a key. */
  headers: Readonly<Record<string, string>>
  serviceName: string
  sampler: Values['OTEL_TRACES_SAMPLER']
  ratio: number
}

/** Reads the variables of OpenTelemetry; `undefined` if they name no collector. */
export function readTracing(values: Partial<Values>, report: Report): TracingConfig | undefined {
  const headers = readHeaders(values.OTEL_EXPORTER_OTLP_HEADERS ?? '')
  if (!headers) report('OTEL_EXPORTER_OTLP_HEADERS', `the value is not ${Variables.properties.OTEL_EXPORTER_OTLP_HEADERS.expected}`)
  if (values.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return undefined
  const tracing = {
    endpoint: readUrl(values.OTEL_EXPORTER_OTLP_ENDPOINT, issue => report('OTEL_EXPORTER_OTLP_ENDPOINT', issue)),
    headers,
    serviceName: values.OTEL_SERVICE_NAME,
    sampler: values.OTEL_TRACES_SAMPLER,
    ratio: Number(values.OTEL_TRACES_SAMPLER_ARG ?? 1),
  }
  return tracing as TracingConfig // complete, or reported and never used
}

function readHeaders(pairs: string): Record<string, string> | undefined {
  try {
    return Object.fromEntries(pairs.split(',').filter(Boolean).map(readHeader))
  } catch {
    return undefined
  }
}

function readHeader(pair: string): [string, string] {
  const [name = '', value = ''] = pair.split(/=(.*)/s, 2).map(part => decodeURIComponent(part.trim()))
  validateHeaderName(name)
  if (value === '') throw new Error('a header without a value')
  validateHeaderValue(name, value)
  return [name, value]
}
