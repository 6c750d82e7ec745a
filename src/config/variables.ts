import { Type } from '@sinclair/typebox'
import { expectedStoreUrl } from '../store/url.ts'

export const expectedUrl = 'an absolute https URL without credentials, query or fragment; plain http only for a loopback host or "sandbox"'
export const expectedTimezone = 'an IANA time zone such as Europe/Madrid'
const text = (expected: string) => Type.Optional(Type.String({ expected }))
const milliseconds = (fallback: number, minimum: number) =>
  Type.Integer({ default: fallback, minimum, maximum: 3_600_000, expected: `milliseconds, ${minimum} to 3600000` })

/**
 * Every variable that the gateway reads, as `.env.example` explains them.
 *
 * `secret` ones can also come from a file, by the same name and `_FILE`. `single` ones are of the one account and the one caller where no
 * `GATEWAY_CONFIG` names several.
 */
export const Variables = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', expected: 'an address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535, expected: 'a port, 0 to 65535' }),
  ADMIN_HOST: Type.String({ default: '127.0.0.1', expected: 'an address to listen on' }),
  ADMIN_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535, expected: 'a port, 0 to 65535' })),
  GATEWAY_CONFIG: text('a JSON file in UTF-8 that can be read'),
  AFILNET_USER: Type.String({ pattern: '\\S', secret: true, single: true, expected: 'the user (e-mail) of the Afilnet account' }),
  AFILNET_PASSWORD: Type.String({ pattern: '\\S', secret: true, single: true, expected: 'the password of the Afilnet account' }),
  AFILNET_TRANSPORT: Type.Optional(
    Type.Union([Type.Literal('post'), Type.Literal('basic'), Type.Literal('get')], { single: true, expected: 'post, basic or get' }),
  ),
  AFILNET_URL: Type.Optional(Type.String({ single: true, expected: expectedUrl })),
  AFILNET_MAX_RESPONSE_BYTES: Type.Integer({
    default: 8_388_608,
    minimum: 1024,
    maximum: 134_217_728,
    expected: 'bytes, 1024 to 134217728',
  }),
  AFILNET_TIMEOUT_MS: milliseconds(10_000, 1),
  AFILNET_LATE_MS: milliseconds(20_000, 0),
  AFILNET_CONNECTIONS: Type.Integer({ default: 256, minimum: 1, maximum: 65_535, expected: 'a number of connections, 1 to 65535' }),
  READ_CACHE_MS: milliseconds(0, 0),
  AFILNET_PROXY: Type.Optional(
    Type.String({
      secret: true,
      expected: 'direct, or the URL of an http or https proxy such as http://user:password@proxy.internal:3128',
    }),
  ),
  AFILNET_ROWS: Type.Optional(Type.Literal('destination-open', { single: true, expected: 'destination-open, or nothing' })),
  AFILNET_TIMEZONE: Type.Optional(Type.String({ single: true, expected: expectedTimezone })),
  GATEWAY_KEY_SHA256: Type.String({
    secret: true,
    single: true,
    pattern: '^[0-9a-f]{64}(,[0-9a-f]{64})?$',
    expected: 'the SHA-256 of an API key in lower-case hex, or two of them with a comma between',
  }),
  RATE_LIMIT_PER_MINUTE: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1_000_000_000, single: true, expected: 'requests in a minute, at least 1' }),
  ),
  STORE_URL: Type.String({
    default: 'sqlite:./data/gateway.sqlite',
    secret: true,
    expected: expectedStoreUrl,
  }),
  SENDS_KEEP_HOURS: Type.Integer({ default: 168, minimum: 1, maximum: 87_600, expected: 'hours, 1 to 87600' }),
  STORE_MAX_MB: Type.Integer({ default: 1024, minimum: 1, maximum: 1_048_576, expected: 'megabytes, 1 to 1048576' }),
  IDEMPOTENCY_REQUIRED: Type.Boolean({ default: false, expected: 'true or false' }),
  DRAIN_MS: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 3_600_000, expected: 'milliseconds, at least AFILNET_TIMEOUT_MS + 1000, at most 3600000' }),
  ),
  DRAIN_DELAY_MS: milliseconds(0, 0),
  PUBLIC_URL: text('an absolute http or https URL without credentials, query or fragment'),
  TRUST_PROXY: text('addresses or CIDR blocks with commas between, such as 10.0.0.0/8,fd00::/8'),
  CORS_ORIGINS: text('exact origins with commas between, such as https://app.example.com'),
  DOCS: Type.Boolean({ default: true, expected: 'true or false' }),
  KEEP_ALIVE_MS: Type.Integer({ default: 72_000, minimum: 1_000, maximum: 620_000, expected: 'milliseconds, 1000 to 620000' }),
  ALLOW_DEBUG: Type.Boolean({ default: false, expected: 'true or false' }),
  LOG_LEVEL: Type.Union(
    (['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const).map(level => Type.Literal(level)),
    { default: 'info', expected: 'trace, debug, info, warn, error, fatal or silent' },
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: text('an absolute http or https URL without credentials, query or fragment'),
  OTEL_EXPORTER_OTLP_HEADERS: Type.Optional(
    Type.String({ secret: true, expected: 'name=value pairs with commas between, values percent-encoded' }),
  ),
  OTEL_SERVICE_NAME: Type.String({ default: 'afilnet-gateway', expected: 'a name' }),
  OTEL_TRACES_SAMPLER: Type.Union(
    (
      ['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const
    ).map(sampler => Type.Literal(sampler)),
    { default: 'parentbased_always_on', expected: 'always_on, always_off or traceidratio, or one of them after parentbased_' },
  ),
  OTEL_TRACES_SAMPLER_ARG: Type.Optional(Type.String({ pattern: '^(0(\\.\\d+)?|1(\\.0+)?)$', expected: 'a ratio, 0 to 1, such as 0.1' })),
})

export type Environment = Record<string, string | undefined>
