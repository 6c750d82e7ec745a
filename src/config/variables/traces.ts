import { Type } from '@sinclair/typebox'
import { expectedUrl, type Field, type Group, text } from './fields.ts'

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

/** OpenTelemetry. */
export const traces = {
  title: 'Traces',
  variables: {
    OTEL_EXPORTER_OTLP_ENDPOINT: text({
      expected: expectedUrl,
      description:
        'The base URL of an OpenTelemetry collector that takes spans as JSON over HTTP (/v1/traces is added). Without it the gateway loads nothing of OpenTelemetry. A span has the route pattern, the operation, the names of caller and account, status and codes; never a URL, a chat, an address, a text or a credential. `traceparent` counts only from addresses in TRUST_PROXY.',
      example: 'http://127.0.0.1:4318',
    }),
    OTEL_EXPORTER_OTLP_HEADERS: text({
      secret: true,
      expected: 'name=value pairs separated by commas, values percent-encoded',
      description: 'Headers for the collector: name=value pairs separated by commas, values percent-encoded.',
      example: 'api-key=',
    }),
    OTEL_SERVICE_NAME: Type.String({
      default: 'afilnet-gateway',
      pattern: '\\S',
      expected: 'a name',
      description: 'The name of this service in the traces.',
    } satisfies Field),
    OTEL_TRACES_SAMPLER: Type.Union(
      samplers.map(sampler => Type.Literal(sampler)),
      {
        default: 'parentbased_always_on',
        expected: 'always_on, always_off or traceidratio, or one of them after parentbased_',
        description:
          'Which requests are traced: always_on, always_off or traceidratio. After parentbased_, the decision of a trusted caller comes first.',
      } satisfies Field,
    ),
    OTEL_TRACES_SAMPLER_ARG: text({
      pattern: '^(0(\\.\\d+)?|1(\\.0+)?)$',
      expected: 'a ratio from 0 to 1 such as 0.1',
      description: 'The ratio for traceidratio. Default: 1.',
      example: '1',
    }),
  },
} satisfies Group
