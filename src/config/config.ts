import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { MediaPlace } from '../media/place.ts'
import type { AccountConfig } from './account.ts'
import { type CallerConfig, readMany, readSingle } from './accounts.ts'
import { readVariables } from './environment.ts'
import { type ReadFile, readIssue, textOf } from './secrets.ts'
import { checkStoreUrl, readMediaStore, readSettings } from './settings.ts'
import { readTracing, type TracingConfig } from './tracing.ts'
import { warningsOfEnvironment } from './unknown-variables.ts'
import { type Environment, type Report, type Values, Variables } from './variables.ts'
import type { WebhookConfig } from './webhooks.ts'

const hourMs = 3_600_000

/** The port of the admin listener where `ADMIN_PORT` names none. */
export const usualAdminPort = 3001

export type Config = {
  host: string
  port: number
  adminHost: string
  /** `undefined` where none was asked for: `usualAdminPort` then, if it is free. */
  adminPort?: number
  /** The path in `GATEWAY_CONFIG`. */
  configFile?: string
  accounts: Record<string, AccountConfig>
  callers: Record<string, CallerConfig>
  webhooks: Record<string, WebhookConfig>
  /** Concurrent calls of each account that sets no other number. */
  connections: number
  maxResponseBytes: number
  timeoutMs: number
  lateMs: number
  readCacheMs: number
  storeUrl: string
  keepHours: number
  storeMaxMb: number
  /** Files that callers upload; without a URL, only an Afilnet on this machine can fetch them. */
  media: { place: MediaPlace; maxBytes: number; maxTotalBytes: number; keepMs: number; url?: URL }
  /** How long events are kept. */
  eventsKeepMs: number
  idempotencyRequired: boolean
  /** Whether unknown sends are looked for in their conversations, where that can prove anything. */
  readBack: boolean
  /** The keys of queued bodies in base64, the one that encrypts first; without them nothing is queued. */
  queueKeys?: readonly string[]
  drainMs: number
  drainDelayMs: number
  publicUrl?: URL
  trustProxy: readonly string[]
  corsOrigins: readonly string[]
  docs: boolean
  /** Whether agents find tools at POST /mcp. */
  mcp: boolean
  /** How long an idle connection of a caller is kept. */
  keepAliveMs: number
  /** Start although a switch is on that prints or opens the memory of the process. */
  allowDebug: boolean
  /** The egress proxy of calls to Afilnet, which may hold credentials; absent: none. */
  proxyUrl?: URL
  logLevel: Values['LOG_LEVEL']
  /** `undefined` where nothing is traced. */
  tracing?: TracingConfig
  /** Every file that was read, with the digest of what was in it: a change may be a new password or a new caller. */
  files: Files
  /** What the environment and the file contain that is probably not meant; `warningsOf` has the rest. */
  warnings: readonly string[]
}

type Files = Readonly<Record<string, string>>

/** What `Config.files` has for a content; nothing for a file that cannot be read. */
export const digestOf = (content: Uint8Array | undefined) => (content === undefined ? '' : hash('sha256', content))

export type Issue = { path: string; message: string }

/** A configuration that must not run, with every issue in it and no secret. */
export class ConfigError extends Error {
  readonly issues: readonly Issue[]
  readonly files: Files
  readonly warnings: readonly string[]

  constructor(issues: readonly Issue[], files: Files, warnings: readonly string[] = []) {
    super(issues.map(({ path, message }) => `${path}: ${message}`).join('\n'))
    this.name = 'ConfigError'
    this.issues = issues
    this.files = files
    this.warnings = warnings
  }
}

/** Reads the whole configuration once, or throws a `ConfigError` with every issue in it. */
export function readConfig(environment: Environment): Config {
  const issues = new Map<string, string>()
  const report: Report = (path, message) => void issues.set(path, issues.get(path) ?? message)
  const files: Record<string, string> = Object.create(null) // a path can be any word
  const read = createReader(files)
  const values = readVariables(environment, read, report)

  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0')
    report('NODE_TLS_REJECT_UNAUTHORIZED', 'must not be 0: the gateway does not run without TLS checks')
  const connections = values.AFILNET_CONNECTIONS ?? Variables.properties.AFILNET_CONNECTIONS.default
  const configFile = values.GATEWAY_CONFIG
  const { accounts, callers, webhooks, used, warnings } =
    configFile === undefined
      ? readSingle(values, connections, read, report)
      : readMany(configFile, { environment, read, connections, report })
  const settings = readSettings(values, report)
  const tracing = readTracing(values, report)

  // Of a file that cannot be read, it is not known which variables it uses.
  const environmentWarnings = issues.has('GATEWAY_CONFIG') ? [] : warningsOfEnvironment(environment, used)
  if (issues.size > 0) throw new ConfigError(listOf(issues), files, environmentWarnings)
  const complete = values as Values // no issues: everything required is there
  return freeze({
    ...settings,
    port: complete.PORT,
    ...(complete.ADMIN_PORT !== undefined && { adminPort: complete.ADMIN_PORT }),
    ...(configFile !== undefined && { configFile }),
    accounts,
    callers,
    webhooks,
    connections,
    maxResponseBytes: complete.AFILNET_MAX_RESPONSE_BYTES,
    lateMs: complete.AFILNET_LATE_MS,
    readCacheMs: complete.READ_CACHE_MS,
    storeUrl: complete.STORE_URL,
    keepHours: complete.SENDS_KEEP_HOURS,
    storeMaxMb: complete.STORE_MAX_MB,
    eventsKeepMs: complete.EVENTS_KEEP_HOURS * hourMs,
    readBack: complete.READ_BACK,
    ...(complete.QUEUE_KEY !== undefined && { queueKeys: complete.QUEUE_KEY.split(',') }),
    idempotencyRequired: complete.IDEMPOTENCY_REQUIRED,
    drainDelayMs: complete.DRAIN_DELAY_MS,
    docs: complete.DOCS,
    mcp: complete.MCP,
    keepAliveMs: complete.KEEP_ALIVE_MS,
    allowDebug: complete.ALLOW_DEBUG,
    logLevel: complete.LOG_LEVEL,
    ...(tracing && { tracing }),
    files,
    warnings: [...environmentWarnings, ...warnings],
  })
}

/** Reads the location and the limits of the ledger, and where files are: all that a command on it needs. */
export function readStoreConfig(environment: Environment) {
  const issues = new Map<string, string>()
  const report: Report = (path, message) => void issues.set(path, issues.get(path) ?? message)
  const { STORE_URL, SENDS_KEEP_HOURS, STORE_MAX_MB, MEDIA_STORE } = Variables.properties
  const values = readVariables(environment, createReader({}), report, { STORE_URL, SENDS_KEEP_HOURS, STORE_MAX_MB, MEDIA_STORE })
  checkStoreUrl(values, report)
  const mediaPlace = readMediaStore(values, report)
  if (issues.size > 0 || !mediaPlace) throw new ConfigError(listOf(issues), {})
  const complete = values as Values // of these, none is missing now
  return { storeUrl: complete.STORE_URL, keepHours: complete.SENDS_KEEP_HOURS, storeMaxMb: complete.STORE_MAX_MB, mediaPlace }
}

/** How long the ledger keeps sends, and how large it may become. */
export const storePolicyOf = ({ keepHours, storeMaxMb }: Pick<Config, 'keepHours' | 'storeMaxMb'>) => ({
  keepMs: keepHours * hourMs,
  keepUnknownMs: Math.max(keepHours, 720) * hourMs,
  leaseMs: 10_000,
  maxBytes: storeMaxMb * 1_048_576,
})

/** Reads files, and records the digest of each. */
function createReader(files: Record<string, string>): ReadFile {
  return path => {
    files[path] = ''
    try {
      const content = readFileSync(path)
      files[path] = digestOf(content)
      return textOf(content)
    } catch (error) {
      return { issue: readIssue(error as NodeJS.ErrnoException) } // thrown by node:fs
    }
  }
}

const listOf = (issues: Map<string, string>): Issue[] => [...issues].map(([path, message]) => ({ path, message }))

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}
