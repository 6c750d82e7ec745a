import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isBlock, isLoopback } from '../lib/addresses.ts'
import { maskStoreUrl, readStoreUrl } from '../store/url.ts'
import { type AccountConfig, type CallerConfig, type ReadFile, type Report, readFileOfMany, readSingle, readUrl } from './accounts.ts'
import { withoutNewline } from './secrets.ts'
import { readTracing, type TracingConfig } from './tracing.ts'
import { type Environment, Variables } from './variables.ts'

const hourMs = 3_600_000

export type Config = {
  host: string
  port: number
  adminHost: string
  /** `undefined` where none was asked for: the documented one then, if it is free. */
  adminPort?: number
  accounts: Record<string, AccountConfig>
  callers: Record<string, CallerConfig>
  maxResponseBytes: number
  timeoutMs: number
  lateMs: number
  readCacheMs: number
  storeUrl: string
  keepHours: number
  storeMaxMb: number
  idempotencyRequired: boolean
  drainMs: number
  drainDelayMs: number
  publicUrl?: URL
  trustProxy: readonly string[]
  corsOrigins: readonly string[]
  docs: boolean
  /** How long an idle connection of a caller is kept. */
  keepAliveMs: number
  /** Start although a switch is on that prints or opens the memory of the process. */
  allowDebug: boolean
  /** The egress proxy of calls to Afilnet, which may hold credentials; absent: none. */
  proxyUrl?: URL
  logLevel: Static<typeof Variables>['LOG_LEVEL']
  /** `undefined` where nothing is traced. */
  tracing?: TracingConfig
  /** Every file that was read, with the digest of what was in it: a change may be a new password or a new caller. */
  files: Files
}

export type Files = Readonly<Record<string, string>>

/** What `Config.files` has for a content; nothing for a file that cannot be read. */
export const digestOf = (content: Uint8Array | undefined) => (content === undefined ? '' : hash('sha256', content))

export type Issue = { path: string; message: string }

/** A configuration that must not run; names every issue and never a value. */
export class ConfigError extends Error {
  readonly issues: readonly Issue[]
  readonly files: Files

  constructor(issues: readonly Issue[], files: Files) {
    super(issues.map(({ path, message }) => `${path}: ${message}`).join('\n'))
    this.name = 'ConfigError'
    this.issues = issues
    this.files = files
  }
}

/** Reads the whole configuration once, or throws a `ConfigError` with every issue in it. */
export function readConfig(environment: Environment): Config {
  const issues = new Map<string, string>()
  const report: Report = (path, message) => void issues.set(path, issues.get(path) ?? message)
  const files: Record<string, string> = Object.create(null) // a path can be any word
  const read: ReadFile = path => {
    const content = attempt(() => readFileSync(path))
    files[path] = digestOf(content)
    return content && textOf(content)
  }
  const values = readVariables(environment, read, report)
  const reportVariable = (path: keyof typeof Variables.properties) => report(path, `expected ${Variables.properties[path].expected}`)

  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    report('NODE_TLS_REJECT_UNAUTHORIZED', 'expected to be unset: the gateway does not run without TLS checks')
  }
  const connections = values.AFILNET_CONNECTIONS ?? 256
  const { accounts, callers } =
    values.GATEWAY_CONFIG === undefined
      ? readSingle(values, connections, report)
      : readFileOfMany(values.GATEWAY_CONFIG, { environment, read, connections, report })

  const timeoutMs = values.AFILNET_TIMEOUT_MS ?? 10_000
  const drainMs = values.DRAIN_MS ?? Math.max(15_000, timeoutMs + 5_000, (values.DRAIN_DELAY_MS ?? 0) + timeoutMs + 1_000)
  if (drainMs < timeoutMs + 1_000) reportVariable('DRAIN_MS')
  if (values.STORE_URL !== undefined && !readStoreUrl(values.STORE_URL)) reportVariable('STORE_URL')
  const publicUrl = values.PUBLIC_URL === undefined ? undefined : readUrl(values.PUBLIC_URL)
  if (values.PUBLIC_URL !== undefined && !publicUrl) reportVariable('PUBLIC_URL')
  const trustProxy = splitList(values.TRUST_PROXY)
  if (!trustProxy.every(isBlock)) reportVariable('TRUST_PROXY')
  const corsOrigins = splitList(values.CORS_ORIGINS)
  if (!corsOrigins.every(origin => readUrl(origin)?.origin === origin)) reportVariable('CORS_ORIGINS')
  const proxyUrl = values.AFILNET_PROXY === undefined || values.AFILNET_PROXY === 'direct' ? undefined : readProxyUrl(values.AFILNET_PROXY)
  if (values.AFILNET_PROXY !== undefined && values.AFILNET_PROXY !== 'direct' && !proxyUrl) reportVariable('AFILNET_PROXY')
  const tracing = readTracing(values, reportVariable)

  if (issues.size > 0)
    throw new ConfigError(
      [...issues].map(([path, message]) => ({ path, message })),
      files,
    )
  const complete = values as Static<typeof Variables> // no issues: everything required is there
  return freeze({
    host: complete.HOST,
    port: complete.PORT,
    adminHost: complete.ADMIN_HOST,
    ...(complete.ADMIN_PORT !== undefined && { adminPort: complete.ADMIN_PORT }),
    accounts,
    callers,
    maxResponseBytes: complete.AFILNET_MAX_RESPONSE_BYTES,
    timeoutMs,
    lateMs: complete.AFILNET_LATE_MS,
    readCacheMs: complete.READ_CACHE_MS,
    storeUrl: complete.STORE_URL,
    keepHours: complete.SENDS_KEEP_HOURS,
    storeMaxMb: complete.STORE_MAX_MB,
    idempotencyRequired: complete.IDEMPOTENCY_REQUIRED,
    drainMs,
    drainDelayMs: complete.DRAIN_DELAY_MS,
    ...(publicUrl && { publicUrl }),
    trustProxy,
    corsOrigins,
    docs: complete.DOCS,
    keepAliveMs: complete.KEEP_ALIVE_MS,
    allowDebug: complete.ALLOW_DEBUG,
    ...(proxyUrl && { proxyUrl }),
    logLevel: complete.LOG_LEVEL,
    ...(tracing && { tracing }),
    files,
  })
}

/** The URL of a proxy: host, port and maybe credentials. */
function readProxyUrl(value: string): URL | undefined {
  const url = URL.parse(value)
  return url && /^https?:$/.test(url.protocol) && url.pathname === '/' && !/[?#]/.test(value) ? url : undefined
}

/** Where the ledger is and how long it keeps what: all that a command on it needs to know, without Afilnet or callers. */
export function readStoreConfig(environment: Environment): Pick<Config, 'storeUrl' | 'keepHours' | 'storeMaxMb'> {
  const issues: Issue[] = []
  const read: ReadFile = path => {
    const content = attempt(() => readFileSync(path))
    return content && textOf(content)
  }
  const { STORE_URL, SENDS_KEEP_HOURS, STORE_MAX_MB } = Variables.properties
  const asked = { STORE_URL, SENDS_KEEP_HOURS, STORE_MAX_MB }
  const values = readVariables(environment, read, (path, message) => void issues.push({ path, message }), asked)
  if (issues.length > 0) throw new ConfigError(issues, {})
  const complete = values as Static<typeof Variables> // of these three, none is missing now
  return { storeUrl: complete.STORE_URL, keepHours: complete.SENDS_KEEP_HOURS, storeMaxMb: complete.STORE_MAX_MB }
}

/** How long the ledger keeps what, and how much of it. */
export const storePolicyOf = ({ keepHours, storeMaxMb }: Pick<Config, 'keepHours' | 'storeMaxMb'>) => ({
  keepMs: keepHours * hourMs,
  keepUnknownMs: Math.max(keepHours, 720) * hourMs,
  leaseMs: 10_000,
  maxBytes: storeMaxMb * 1_048_576,
})

/** The configuration as an operator may see it: every secret is a mask. */
export function maskConfig({ accounts, callers, tracing, files, proxyUrl, ...rest }: Config) {
  return {
    ...rest,
    storeUrl: maskStoreUrl(rest.storeUrl),
    ...(tracing && { tracing: { ...tracing, headers: mapValues(tracing.headers, () => '<set>') } }),
    ...(proxyUrl && {
      proxyUrl: proxyUrl.username || proxyUrl.password ? `${proxyUrl.protocol}//<set>@${proxyUrl.host}` : proxyUrl.origin,
    }),
    files: Object.keys(files),
    accounts: mapValues(accounts, account => ({ ...account, password: '<set>' })),
    callers: mapValues(callers, caller => ({ ...caller, keySha256: caller.keySha256.map(() => '<set>') })),
  }
}

/** What is not wrong and yet will surprise someone. */
export function warningsOf({ accounts, callers, tracing }: Config, now = Date.now()): string[] {
  const named = (record: object, fits: (row: never) => boolean) =>
    Object.entries(record)
      .filter(([, row]) => fits(row as never)) // each record has rows of one type
      .map(([name]) => name)
  const byGet = named(accounts, ({ transport }: AccountConfig) => transport === 'get')
  const expired = named(callers, ({ expires }: CallerConfig) => expires !== undefined && Date.parse(expires) <= now)
  const inTheClear = tracing?.endpoint.protocol === 'http:' && !isLoopback(tracing.endpoint) && Object.keys(tracing.headers).length > 0
  return [
    ...(inTheClear ? ['OTEL_EXPORTER_OTLP_HEADERS go to the collector over plain http'] : []),
    ...byGet.map(name => `account ${name}: the get transport puts the password into the URL of every call, where proxies log it`),
    ...expired.map(name => `caller ${name}: its keys have expired`),
  ]
}

function readVariables(
  environment: Environment,
  read: ReadFile,
  report: Report,
  asked: Record<string, TSchema> = Variables.properties,
): Partial<Static<typeof Variables>> {
  const values: Record<string, unknown> = {}
  const many = Boolean(environment.GATEWAY_CONFIG)
  for (const [name, schema] of Object.entries(asked)) {
    try {
      if (many && schema.single) {
        if (environment[name] || environment[`${name}_FILE`]) throw new Error('expected to be unset beside GATEWAY_CONFIG, which has it')
        continue
      }
      const raw = schema.secret ? readSecret(environment, name, read) : environment[name]
      const missing = raw === undefined || raw === ''
      const given = missing ? schema.default : parse(schema, raw)
      if (missing && given === undefined && !(Variables.required as string[] | undefined)?.includes(name)) continue
      if (!Value.Check(schema, given)) throw new Error(`expected ${schema.expected}`)
      values[name] = given
    } catch (error) {
      report(name, (error as Error).message)
    }
  }
  return values
}

function parse(schema: TSchema, raw: string): unknown {
  if (schema.type === 'integer') return /^\d{1,15}$/.test(raw) ? Number(raw) : undefined
  if (schema.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : undefined
  return raw
}

function readSecret(environment: Environment, name: string, read: ReadFile): string | undefined {
  const path = environment[`${name}_FILE`]
  if (!path) return environment[name]
  if (environment[name]) throw new Error(`expected one of ${name} and ${name}_FILE, not both`)
  const text = read(path)
  if (text === undefined) throw new Error(`expected ${name}_FILE to name a file of text that can be read`)
  return withoutNewline(text)
}

/** Other bytes would be read as another password, without a word. */
function textOf(content: Buffer) {
  const text = content.toString()
  return isUtf8(content) && !text.startsWith('\ufeff') ? text : undefined
}

const splitList = (value: string | undefined) => value?.split(',').map(item => item.trim()) ?? []

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

function mapValues<T, U>(record: Record<string, T>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}
