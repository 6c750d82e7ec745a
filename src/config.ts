import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { documentedUrl } from './afilnet/transports.ts'
import { isLoopback } from './hosts.ts'

const text = (expected: string) => Type.Optional(Type.String({ expected }))
const milliseconds = (fallback: number, minimum: number) =>
  Type.Integer({ default: fallback, minimum, maximum: 3_600_000, expected: `milliseconds, ${minimum} to 3600000` })

/**
 * Every variable that the gateway reads, as `.env.example` explains them.
 *
 * `secret` ones can also come from a file, by the same name and `_FILE`.
 */
export const Variables = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', expected: 'an address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535, expected: 'a port, 0 to 65535' }),
  AFILNET_USER: Type.String({ pattern: '\\S', secret: true, expected: 'the user (e-mail) of the Afilnet account' }),
  AFILNET_PASSWORD: Type.String({ pattern: '\\S', secret: true, expected: 'the password of the Afilnet account' }),
  AFILNET_TRANSPORT: Type.Union([Type.Literal('post'), Type.Literal('basic'), Type.Literal('get')], {
    default: 'post',
    expected: 'post, basic or get',
  }),
  AFILNET_URL: text('an absolute https URL without credentials, query or fragment; plain http only for a loopback host or "sandbox"'),
  AFILNET_MAX_RESPONSE_BYTES: Type.Integer({
    default: 8_388_608,
    minimum: 1024,
    maximum: 134_217_728,
    expected: 'bytes, 1024 to 134217728',
  }),
  AFILNET_TIMEOUT_MS: milliseconds(10_000, 1),
  AFILNET_LATE_MS: milliseconds(20_000, 0),
  AFILNET_CONNECTIONS: Type.Integer({ default: 256, minimum: 1, maximum: 65_535, expected: 'a number of connections, 1 to 65535' }),
  AFILNET_TIMEZONE: text('an IANA time zone such as Europe/Madrid'),
  GATEWAY_KEY_SHA256: Type.String({
    secret: true,
    pattern: '^[0-9a-f]{64}(,[0-9a-f]{64})?$',
    expected: 'the SHA-256 of an API key in lower-case hex, or two of them with a comma between',
  }),
  STORE_URL: Type.String({
    default: 'sqlite:./data/gateway.sqlite',
    secret: true,
    pattern: '^sqlite:(?!//).+',
    expected: 'sqlite:<path> or sqlite::memory:',
  }),
  SENDS_KEEP_HOURS: Type.Integer({ default: 168, minimum: 1, maximum: 87_600, expected: 'hours, 1 to 87600' }),
  STORE_MAX_MB: Type.Integer({ default: 1024, minimum: 1, maximum: 1_048_576, expected: 'megabytes, 1 to 1048576' }),
  IDEMPOTENCY_REQUIRED: Type.Boolean({ default: false, expected: 'true or false' }),
  DRAIN_MS: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 3_600_000, expected: 'milliseconds, at least AFILNET_TIMEOUT_MS + 1000, at most 3600000' }),
  ),
  DRAIN_DELAY_MS: milliseconds(0, 0),
  PUBLIC_URL: text('an absolute http or https URL without credentials, query or fragment'),
  DOCS: Type.Boolean({ default: true, expected: 'true or false' }),
  LOG_LEVEL: Type.Union(
    (['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const).map(level => Type.Literal(level)),
    { default: 'info', expected: 'trace, debug, info, warn, error, fatal or silent' },
  ),
})

export type Environment = Record<string, string | undefined>

export type AccountConfig = {
  user: string
  password: string
  transport: keyof typeof documentedUrl
  url: URL
  connections: number
  timezone?: string
}

export const scopes = ['channels:read', 'chats:read', 'messages:read', 'messages:send', 'files:send'] as const
export type Scope = (typeof scopes)[number]

export type CallerConfig = { keySha256: readonly string[]; account: string; scopes: readonly Scope[] }

export type Config = {
  host: string
  port: number
  accounts: Record<string, AccountConfig>
  callers: Record<string, CallerConfig>
  maxResponseBytes: number
  timeoutMs: number
  lateMs: number
  storeUrl: string
  keepHours: number
  storeMaxMb: number
  idempotencyRequired: boolean
  drainMs: number
  drainDelayMs: number
  publicUrl?: URL
  docs: boolean
  logLevel: Static<typeof Variables>['LOG_LEVEL']
}

export type Mistake = { place: string; expected: string }

/** A configuration that must not run; names every mistake and never a value. */
export class ConfigError extends Error {
  readonly mistakes: readonly Mistake[]

  constructor(mistakes: readonly Mistake[]) {
    super(mistakes.map(({ place, expected }) => `${place}: ${expected}`).join('\n'))
    this.name = 'ConfigError'
    this.mistakes = mistakes
  }
}

/** Values that people copy from examples; whoever reads the example knows them. */
const exampleSecrets = new Set(['change-me', 'changeme', 'password', 'secret', 'your-password', 'AFILNET_PASSWORD', 'example'])
const sandboxPassword = 'fake-sandbox-password'
const isExampleDigest = (digest: string) =>
  /^(.)\1{63}$/.test(digest) || ['', ...exampleSecrets].some(key => hash('sha256', key) === digest)

/** Reads the whole configuration once, or throws a `ConfigError` with every mistake in it. */
export function readConfig(environment: Environment): Config {
  const mistakes: Mistake[] = []
  const values = readVariables(environment, mistakes)
  const blame = (place: keyof typeof Variables.properties, expected?: string) =>
    mistakes.push({ place, expected: expected ?? `expected ${Variables.properties[place].expected}` })

  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    mistakes.push({ place: 'NODE_TLS_REJECT_UNAUTHORIZED', expected: 'expected to be unset: the gateway does not run without TLS checks' })
  }

  const transport = values.AFILNET_TRANSPORT ?? 'post'
  const url = readUrl(values.AFILNET_URL ?? documentedUrl[transport])
  const local = url !== undefined && (isLoopback(url) || url.hostname === 'sandbox')
  if (!url || (url.protocol !== 'https:' && !local)) blame('AFILNET_URL')
  if (values.AFILNET_PASSWORD !== undefined && exampleSecrets.has(values.AFILNET_PASSWORD)) {
    blame('AFILNET_PASSWORD', 'expected a real password, not the value of an example')
  }
  if (values.AFILNET_PASSWORD === sandboxPassword && !local) {
    blame('AFILNET_PASSWORD', "expected the account's password: the sandbox's is for a loopback host or one named sandbox")
  }
  if (transport === 'basic' && values.AFILNET_USER?.includes(':')) blame('AFILNET_USER', 'expected no colon with the basic transport')

  const keySha256 = values.GATEWAY_KEY_SHA256?.split(',') ?? []
  if (keySha256.some(isExampleDigest)) blame('GATEWAY_KEY_SHA256', 'expected the digest of a real key, not of an example')

  const timeoutMs = values.AFILNET_TIMEOUT_MS ?? 10_000
  const drainMs = values.DRAIN_MS ?? Math.max(15_000, timeoutMs + 5_000, (values.DRAIN_DELAY_MS ?? 0) + timeoutMs + 1_000)
  if (drainMs < timeoutMs + 1_000) blame('DRAIN_MS')
  if (values.AFILNET_TIMEZONE !== undefined && !isTimeZone(values.AFILNET_TIMEZONE)) blame('AFILNET_TIMEZONE')
  const publicUrl = values.PUBLIC_URL === undefined ? undefined : readUrl(values.PUBLIC_URL)
  if (values.PUBLIC_URL !== undefined && !publicUrl) blame('PUBLIC_URL')

  if (mistakes.length > 0 || !url) throw new ConfigError(mistakes)
  const complete = values as Static<typeof Variables> // no mistakes: everything required is there
  const account = {
    user: complete.AFILNET_USER,
    password: complete.AFILNET_PASSWORD,
    transport,
    url,
    connections: complete.AFILNET_CONNECTIONS,
    ...(complete.AFILNET_TIMEZONE !== undefined && { timezone: complete.AFILNET_TIMEZONE }),
  }
  return freeze({
    host: complete.HOST,
    port: complete.PORT,
    accounts: { default: account },
    callers: { default: { keySha256, account: 'default', scopes } },
    maxResponseBytes: complete.AFILNET_MAX_RESPONSE_BYTES,
    timeoutMs,
    lateMs: complete.AFILNET_LATE_MS,
    storeUrl: complete.STORE_URL,
    keepHours: complete.SENDS_KEEP_HOURS,
    storeMaxMb: complete.STORE_MAX_MB,
    idempotencyRequired: complete.IDEMPOTENCY_REQUIRED,
    drainMs,
    drainDelayMs: complete.DRAIN_DELAY_MS,
    ...(publicUrl && { publicUrl }),
    docs: complete.DOCS,
    logLevel: complete.LOG_LEVEL,
  })
}

/** The configuration as an operator may see it: every secret is a mask. */
export function maskConfig({ accounts, callers, ...rest }: Config) {
  return {
    ...rest,
    accounts: mapValues(accounts, account => ({ ...account, password: '<set>' })),
    callers: mapValues(callers, caller => ({ ...caller, keySha256: caller.keySha256.map(() => '<set>') })),
  }
}

function readVariables(environment: Environment, mistakes: Mistake[]): Partial<Static<typeof Variables>> {
  const values: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries<TSchema>(Variables.properties)) {
    try {
      const raw = schema.secret ? readSecret(environment, name) : environment[name]
      const missing = raw === undefined || raw === ''
      const given = missing ? schema.default : parse(schema, raw)
      if (missing && given === undefined && !(Variables.required as string[] | undefined)?.includes(name)) continue
      if (!Value.Check(schema, given)) throw new Error(`expected ${schema.expected}`)
      values[name] = given
    } catch (error) {
      mistakes.push({ place: name, expected: (error as Error).message })
    }
  }
  return values
}

function parse(schema: TSchema, raw: string): unknown {
  if (schema.type === 'integer') return /^\d{1,15}$/.test(raw) ? Number(raw) : undefined
  if (schema.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : undefined
  return raw
}

function readSecret(environment: Environment, name: string): string | undefined {
  const path = environment[`${name}_FILE`]
  if (!path) return environment[name]
  if (environment[name]) throw new Error(`expected one of ${name} and ${name}_FILE, not both`)
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch {
    throw new Error(`expected ${name}_FILE to name a file that can be read`)
  }
}

function readUrl(value: string): URL | undefined {
  const url = URL.parse(value)
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !/[?#]/.test(value)
  return plain ? url : undefined
}

function isTimeZone(name: string) {
  try {
    return /^[A-Za-z]/.test(name) && Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}

function mapValues<T, U>(record: Record<string, T>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}
