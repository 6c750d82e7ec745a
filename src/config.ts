import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { documentedUrl } from './afilnet/transports.ts'
import { type CallerRow, readRows, type Scope, scopes } from './config-file.ts'
import { isBlock, isLoopback } from './hosts.ts'
import { isExampleDigest, isExampleSecret, sandboxPassword, withoutNewline } from './secrets.ts'

const expectedUrl = 'an absolute https URL without credentials, query or fragment; plain http only for a loopback host or "sandbox"'
const expectedTimezone = 'an IANA time zone such as Europe/Madrid'
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
  TRUST_PROXY: text('addresses or CIDR blocks with commas between, such as 10.0.0.0/8,fd00::/8'),
  CORS_ORIGINS: text('exact origins with commas between, such as https://app.example.com'),
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

export type CallerConfig = Omit<CallerRow, '$comment' | 'keySha256' | 'scopes' | 'chats'> & {
  keySha256: readonly string[]
  scopes: readonly Scope[]
  chats?: readonly string[]
}

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
  logLevel: Static<typeof Variables>['LOG_LEVEL']
  /** Every file that was read, with the digest of what was in it: a change may be a new password or a new caller. */
  files: Files
}

export type Files = Readonly<Record<string, string>>

/** What `Config.files` has for a content; nothing for a file that cannot be read. */
export const digestOf = (content: Uint8Array | undefined) => (content === undefined ? '' : hash('sha256', content))

export type Mistake = { place: string; expected: string }

/** A configuration that must not run; names every mistake and never a value. */
export class ConfigError extends Error {
  readonly mistakes: readonly Mistake[]
  readonly files: Files

  constructor(mistakes: readonly Mistake[], files: Files) {
    super(mistakes.map(({ place, expected }) => `${place}: ${expected}`).join('\n'))
    this.name = 'ConfigError'
    this.mistakes = mistakes
    this.files = files
  }
}

type Blame = (place: string, expected: string) => void

/** Reads a file's text, if it can and if it is text in UTF-8. */
type ReadFile = (path: string) => string | undefined

/** Reads the whole configuration once, or throws a `ConfigError` with every mistake in it. */
export function readConfig(environment: Environment): Config {
  const mistakes = new Map<string, string>()
  const blame: Blame = (place, expected) => void mistakes.set(place, mistakes.get(place) ?? expected)
  const files: Record<string, string> = Object.create(null) // a path can be any word
  const read: ReadFile = path => {
    const content = attempt(() => readFileSync(path))
    files[path] = digestOf(content)
    return content && textOf(content)
  }
  const values = readVariables(environment, read, blame)
  const blameVariable = (place: keyof typeof Variables.properties) => blame(place, `expected ${Variables.properties[place].expected}`)

  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    blame('NODE_TLS_REJECT_UNAUTHORIZED', 'expected to be unset: the gateway does not run without TLS checks')
  }
  const connections = values.AFILNET_CONNECTIONS ?? 256
  const { accounts, callers } =
    values.GATEWAY_CONFIG === undefined
      ? readSingle(values, connections, blame)
      : readFileOfMany(values.GATEWAY_CONFIG, { environment, read, connections, blame })

  const timeoutMs = values.AFILNET_TIMEOUT_MS ?? 10_000
  const drainMs = values.DRAIN_MS ?? Math.max(15_000, timeoutMs + 5_000, (values.DRAIN_DELAY_MS ?? 0) + timeoutMs + 1_000)
  if (drainMs < timeoutMs + 1_000) blameVariable('DRAIN_MS')
  const publicUrl = values.PUBLIC_URL === undefined ? undefined : readUrl(values.PUBLIC_URL)
  if (values.PUBLIC_URL !== undefined && !publicUrl) blameVariable('PUBLIC_URL')
  const trustProxy = splitList(values.TRUST_PROXY)
  if (!trustProxy.every(isBlock)) blameVariable('TRUST_PROXY')
  const corsOrigins = splitList(values.CORS_ORIGINS)
  if (!corsOrigins.every(origin => readUrl(origin)?.origin === origin)) blameVariable('CORS_ORIGINS')

  if (mistakes.size > 0)
    throw new ConfigError(
      [...mistakes].map(([place, expected]) => ({ place, expected })),
      files,
    )
  const complete = values as Static<typeof Variables> // no mistakes: everything required is there
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
    logLevel: complete.LOG_LEVEL,
    files,
  })
}

/** The configuration as an operator may see it: every secret is a mask. */
export function maskConfig({ accounts, callers, files, ...rest }: Config) {
  return {
    ...rest,
    files: Object.keys(files),
    accounts: mapValues(accounts, account => ({ ...account, password: '<set>' })),
    callers: mapValues(callers, caller => ({ ...caller, keySha256: caller.keySha256.map(() => '<set>') })),
  }
}

/** What is not wrong and yet will surprise someone. */
export function warningsOf({ accounts, callers }: Config, now = Date.now()): string[] {
  const named = (record: object, fits: (row: never) => boolean) =>
    Object.entries(record)
      .filter(([, row]) => fits(row as never)) // each record has rows of one type
      .map(([name]) => name)
  const byGet = named(accounts, ({ transport }: AccountConfig) => transport === 'get')
  const expired = named(callers, ({ expires }: CallerConfig) => expires !== undefined && Date.parse(expires) <= now)
  return [
    ...byGet.map(name => `account ${name}: the get transport puts the password into the URL of every call, where proxies log it`),
    ...expired.map(name => `caller ${name}: its keys have expired`),
  ]
}

type Many = Pick<Config, 'accounts' | 'callers'>

/** The one account and the one caller of the environment. */
function readSingle(values: Partial<Static<typeof Variables>>, connections: number, blame: Blame): Many {
  const account = {
    user: values.AFILNET_USER,
    password: values.AFILNET_PASSWORD,
    transport: values.AFILNET_TRANSPORT,
    url: values.AFILNET_URL,
    timezone: values.AFILNET_TIMEZONE,
    connections,
  }
  const keySha256 = values.GATEWAY_KEY_SHA256?.split(',') ?? []
  if (keySha256.some(isExampleDigest)) blame('GATEWAY_KEY_SHA256', expectedKey)
  const requestsPerMinute = values.RATE_LIMIT_PER_MINUTE
  const rateLimit = requestsPerMinute !== undefined && { rateLimit: { requestsPerMinute } }
  return {
    accounts: { default: accountOf(account, (member, expected) => blame(`AFILNET_${member.toUpperCase()}`, expected)) },
    callers: { default: { keySha256, account: 'default', scopes: [...scopes], ...rateLimit } },
  }
}

type ManyOptions = { environment: Environment; read: ReadFile; connections: number; blame: Blame }

/** The accounts and callers of `GATEWAY_CONFIG`. */
function readFileOfMany(path: string, { environment, read, connections, blame }: ManyOptions): Many {
  const text = read(path)
  if (text === undefined) blame('GATEWAY_CONFIG', `expected ${Variables.properties.GATEWAY_CONFIG.expected}`)
  const rows = text === undefined ? { accounts: [], callers: [] } : readRows(text, blame)

  const accounts = rows.accounts.map(({ name, place, row: { $comment, password, ...row } }) => {
    const secret = password && readReference(password, environment, read, expected => blame(`${place}.password`, expected))
    const blameMember: Blame = (member, expected) => blame(`${place}.${member}`, expected)
    return [name, accountOf({ connections, ...row, password: secret }, blameMember)] as const
  })
  const names = new Set(accounts.map(([name]) => name))
  const owners = new Map<string, string>()
  const callers = rows.callers.map(({ name, place, row: { $comment, ...row } }) => {
    if (row.account !== undefined && !names.has(row.account)) blame(`${place}.account`, 'expected the name of an account in this file')
    for (const [i, digest] of (row.keySha256 ?? []).entries()) {
      const owner = owners.get(digest)
      if (isExampleDigest(digest)) blame(`${place}.keySha256[${i}]`, expectedKey)
      if (owner !== undefined) blame(`${place}.keySha256[${i}]`, `expected a key of its own: ${owner} has the same`)
      owners.set(digest, `${place}.keySha256[${i}]`)
    }
    return [name, row as CallerConfig] as const // complete, or blamed already
  })
  return { accounts: Object.fromEntries(accounts), callers: Object.fromEntries(callers) }
}

const expectedKey = 'expected the digest of a real key, not of an example'

function readReference(
  reference: { file: string } | { env: string },
  environment: Environment,
  read: ReadFile,
  blame: (expected: string) => void,
) {
  const named = 'env' in reference && Object.hasOwn(environment, reference.env) ? environment[reference.env] : undefined
  const secret = 'env' in reference ? named : withoutNewline(read(reference.file))
  if (secret === undefined)
    blame('env' in reference ? 'expected env to name a variable that is set' : 'expected file to name a file of text that can be read')
  else if (!/\S/.test(secret)) blame('expected a password that is not empty')
  else return secret
  return undefined
}

type AccountParts = { [K in 'user' | 'password' | 'url' | 'timezone']: string | undefined } & {
  transport?: AccountConfig['transport'] | undefined
  connections: number
}

/** What must hold for an account, wherever it is configured; what is missing has been blamed already. */
function accountOf(
  { user, password, transport = 'post', url: given, timezone, connections }: Partial<AccountParts> & { connections: number },
  blame: Blame,
): AccountConfig {
  const url = readUrl(given ?? documentedUrl[transport])
  const local = url !== undefined && (isLoopback(url) || url.hostname === 'sandbox')
  if (!url || (url.protocol !== 'https:' && !local)) blame('url', `expected ${expectedUrl}`)
  if (password !== undefined && isExampleSecret(password)) blame('password', 'expected a real password, not the value of an example')
  if (password?.trim() === sandboxPassword && !local) {
    blame('password', "expected the account's password: the sandbox's is for a loopback host or one named sandbox")
  }
  if (transport === 'basic' && user?.includes(':')) blame('user', 'expected no colon with the basic transport')
  if (timezone !== undefined && !isTimeZone(timezone)) blame('timezone', `expected ${expectedTimezone}`)
  const account = { user, password, transport, url, connections, ...(timezone !== undefined && { timezone }) }
  return account as AccountConfig // complete, or blamed and never used
}

function readVariables(environment: Environment, read: ReadFile, blame: Blame): Partial<Static<typeof Variables>> {
  const values: Record<string, unknown> = {}
  const many = Boolean(environment.GATEWAY_CONFIG)
  for (const [name, schema] of Object.entries<TSchema>(Variables.properties)) {
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
      blame(name, (error as Error).message)
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

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

const splitList = (value: string | undefined) => value?.split(',').map(item => item.trim()) ?? []

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
