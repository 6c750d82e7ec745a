import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { Static } from '@sinclair/typebox'
import { readUrl } from './accounts.ts'
import type { Variables } from './variables.ts'

/** Where traces go, and how many of them. */
export type TracingConfig = {
  endpoint: URL
  /** For the collector, which may ask for a key. */
  headers: Readonly<Record<string, string>>
  serviceName: string
  sampler: Static<typeof Variables>['OTEL_TRACES_SAMPLER']
  ratio: number
}

type ReportVariable = (path: keyof typeof Variables.properties) => void

/** Reads the variables of OpenTelemetry; `undefined` if they name no collector. */
export function readTracing(values: Partial<Static<typeof Variables>>, report: ReportVariable): TracingConfig | undefined {
  const headers = readHeaders(values.OTEL_EXPORTER_OTLP_HEADERS ?? '')
  if (!headers) report('OTEL_EXPORTER_OTLP_HEADERS')
  if (values.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return undefined
  const endpoint = readUrl(values.OTEL_EXPORTER_OTLP_ENDPOINT)
  if (!endpoint) report('OTEL_EXPORTER_OTLP_ENDPOINT')
  const tracing = {
    endpoint,
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
