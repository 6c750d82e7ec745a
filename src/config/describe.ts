import { isLoopback } from '../lib/addresses.ts'
import { showMediaPlace } from '../media/place.ts'
import { maskStoreUrl, readStoreUrl } from '../store/url.ts'
import { type AccountConfig, canReadBack } from './account.ts'
import type { Config } from './config.ts'
import type { VariableName } from './variables.ts'
import type { WebhookConfig } from './webhooks.ts'

const set = '<set>'

/** What `--check` shows for each variable; `undefined` if it is not set and has no default. */
const shown: Record<VariableName, (config: Config) => unknown> = {
  GATEWAY_CONFIG: config => config.configFile,
  AFILNET_USER: config => only(config)?.account.user,
  AFILNET_PASSWORD: config => only(config)?.account.password,
  AFILNET_TRANSPORT: config => only(config)?.account.transport,
  AFILNET_URL: config => only(config)?.account.url,
  AFILNET_TOKEN_URL: config => only(config)?.account.tokenUrl,
  AFILNET_CLIENT_ID: config => only(config)?.account.clientId,
  AFILNET_CLIENT_SECRET: config => only(config)?.account.clientSecret,
  AFILNET_SCOPE: config => only(config)?.account.scope,
  AFILNET_GRANT: config => only(config)?.account.grant,
  AFILNET_JSON_STYLE: config => only(config)?.account.jsonStyle,
  AFILNET_WSDL: config => only(config)?.account.wsdl,
  AFILNET_TIMEOUT_MS: config => config.timeoutMs,
  AFILNET_LATE_MS: config => config.lateMs,
  AFILNET_CONNECTIONS: config => config.connections,
  AFILNET_MAX_RESPONSE_BYTES: config => config.maxResponseBytes,
  READ_CACHE_MS: config => config.readCacheMs,
  AFILNET_TIMEZONE: config => only(config)?.account.timezone,
  AFILNET_PROXY: ({ proxyUrl }) =>
    proxyUrl && (proxyUrl.username || proxyUrl.password ? `${proxyUrl.protocol}//${set}@${proxyUrl.host}` : proxyUrl.origin),
  AFILNET_ROWS: config => only(config)?.account.rows,
  AFILNET_SENT: config => only(config)?.account.sent,
  GATEWAY_KEY_SHA256: config => only(config)?.caller.keySha256.map(() => set),
  RATE_LIMIT_PER_MINUTE: config => only(config)?.caller.rateLimit?.requestsPerMinute,
  HOST: config => config.host,
  PORT: config => config.port,
  ADMIN_HOST: config => config.adminHost,
  ADMIN_PORT: config => config.adminPort,
  TRUST_PROXY: config => config.trustProxy,
  CORS_ORIGINS: config => config.corsOrigins,
  PUBLIC_URL: config => config.publicUrl,
  MCP: config => config.mcp,
  DOCS: config => config.docs,
  LOG_LEVEL: config => config.logLevel,
  KEEP_ALIVE_MS: config => config.keepAliveMs,
  ALLOW_DEBUG: config => config.allowDebug,
  OTEL_EXPORTER_OTLP_ENDPOINT: ({ tracing }) => tracing?.endpoint,
  OTEL_EXPORTER_OTLP_HEADERS: ({ tracing }) => tracing && mapValues(tracing.headers, () => set),
  OTEL_SERVICE_NAME: ({ tracing }) => tracing?.serviceName,
  OTEL_TRACES_SAMPLER: ({ tracing }) => tracing?.sampler,
  OTEL_TRACES_SAMPLER_ARG: ({ tracing }) => tracing?.ratio,
  STORE_URL: config => maskStoreUrl(config.storeUrl),
  SENDS_KEEP_HOURS: config => config.keepHours,
  STORE_MAX_MB: config => config.storeMaxMb,
  QUEUE_KEY: config => config.queueKeys?.map(() => set),
  READ_BACK: config => config.readBack && (Object.values(config.accounts).every(canReadBack) || readBackIsOff(config)),
  IDEMPOTENCY_REQUIRED: config => config.idempotencyRequired,
  MEDIA_URL: config => config.media.url,
  MEDIA_STORE: config => showMediaPlace(config.media.place),
  MEDIA_MAX_BYTES: config => config.media.maxBytes,
  MEDIA_KEEP_HOURS: config => config.media.keepMs / 3_600_000,
  MEDIA_MAX_MB: config => config.media.maxTotalBytes / 1_048_576,
  EVENTS_CHANNELS: config => only(config)?.account.events?.channels,
  EVENTS_INTERVAL_MS: config => only(config)?.account.events?.intervalMs,
  EVENTS_KEEP_HOURS: config => config.eventsKeepMs / 3_600_000,
  WEBHOOK_URL: config => only(config)?.webhook?.url,
  WEBHOOK_SECRET: config => only(config)?.webhook?.secret,
  DRAIN_MS: config => config.drainMs,
  DRAIN_DELAY_MS: config => config.drainDelayMs,
}

/** Names the accounts in whose conversations an unknown send cannot be looked for. */
function readBackIsOff({ accounts, configFile }: Config) {
  const names = Object.entries(accounts).flatMap(([name, account]) => (canReadBack(account) ? [] : [name]))
  const which = configFile === undefined ? '' : ` for ${names.join(', ')}`
  const [timezone, sent] = configFile === undefined ? ['AFILNET_TIMEZONE', 'AFILNET_SENT=ignore'] : ['a timezone', 'sent=ignore']
  return `off${which}: it needs ${timezone} or events, and no ${sent}`
}

/** The one account, caller and webhook, where the environment configures them. */
function only({ configFile, accounts: { default: account }, callers: { default: caller }, webhooks: { default: webhook } }: Config) {
  if (configFile !== undefined || !account || !caller) return undefined
  return { account: withoutSecrets(account), caller, webhook: webhook && showWebhook(webhook) }
}

/** The query of its URL may hold a secret. */
const showWebhook = ({ url, secrets, ...rest }: WebhookConfig) => ({
  ...rest,
  url: `${url.origin}${url.pathname}`,
  secret: secrets.map(() => set),
})

/** An account as it may be shown. The query of a WSDL's URL is mostly no more than `wsdl`. */
function withoutSecrets({ wsdlDigest, ...account }: AccountConfig) {
  const { password, clientSecret, wsdl } = account
  const shownWsdl = wsdl && (/^(\?\w*)?$/.test(wsdl.search) ? wsdl.href : `${wsdl.origin}${wsdl.pathname}?${set}`)
  return {
    ...account,
    password: password === '' ? undefined : set,
    ...(clientSecret !== undefined && { clientSecret: set }),
    ...(shownWsdl && { wsdl: shownWsdl, url: account.url.href === wsdl.href ? undefined : account.url }), // then the WSDL says where
  }
}

/** The configuration by the names of variables and of the file's properties, without secrets. */
export function describeConfig(config: Config): Record<string, unknown> {
  const { accounts, callers, webhooks, configFile, files } = config
  return {
    ...mapValues(shown, show => show(config)),
    ...(configFile !== undefined && {
      accounts: mapValues(accounts, withoutSecrets),
      callers: mapValues(callers, caller => ({ ...caller, keySha256: caller.keySha256.map(() => set) })),
      webhooks: mapValues(webhooks, showWebhook),
    }),
    files: Object.keys(files),
  }
}

/** What is valid and yet probably not meant. */
export function warningsOf(config: Config, now = Date.now()): string[] {
  const { accounts, callers, webhooks, tracing, publicUrl, trustProxy, keepAliveMs } = config
  const inTheClear = tracing?.endpoint.protocol === 'http:' && !isLoopback(tracing.endpoint) && Object.keys(tracing.headers).length > 0
  const isPublicInTheClear = publicUrl?.protocol === 'http:' && !isLoopback(publicUrl)
  const wide = trustProxy.filter(block => Number(block.split('/')[1] ?? 128) < (block.includes(':') ? 7 : 8))
  return applicable(
    ...config.warnings,
    inTheClear && 'OTEL_EXPORTER_OTLP_HEADERS go to the collector over plain http',
    isPublicInTheClear && 'PUBLIC_URL is plain http: callers send their API keys unencrypted',
    ...wide.map(block => `TRUST_PROXY: ${block} lets many addresses of the internet choose the address that the gateway sees`),
    trustProxy.length > 0 &&
      keepAliveMs < 60_000 &&
      `KEEP_ALIVE_MS is ${keepAliveMs}: it must exceed the idle timeout of the proxy in front, which is often 60 seconds`,
    ...Object.entries(accounts).flatMap(warningsOfAccount),
    ...Object.entries(callers).map(
      ([name, { expires }]) => expires !== undefined && Date.parse(expires) <= now && `caller ${name}: its keys have expired`,
    ),
    ...Object.entries(webhooks).map(
      ([name, { account }]) =>
        !accounts[account]?.events && `webhook ${name}: account ${account} watches no channels, so the webhook gets no events`,
    ),
  )
}

const applicable = (...sentences: (string | false)[]) => sentences.filter(sentence => sentence !== false)

/** The secrets of the process, which a reload reads and does not apply. */
const untilRestart = {
  AFILNET_PROXY: ({ proxyUrl }: Config) => proxyUrl?.href,
  STORE_URL: ({ storeUrl }: Config) => storeUrl,
  QUEUE_KEY: ({ queueKeys }: Config) => queueKeys?.join(),
}

/** What has changed since the start and is not in use. */
export const warningsOfChange = (used: Config, next: Config): string[] =>
  Object.entries(untilRestart)
    .filter(([, of]) => of(used) !== of(next))
    .map(([name]) => `${name} has changed, and the gateway still uses the former value: restart it`)

/** Why Afilnet could not fetch files from here. */
export const mediaIssueOf = ({ media, accounts }: Config) =>
  media.url === undefined &&
  !Object.values(accounts).every(({ url }) => isLoopback(url)) &&
  'MEDIA_URL and PUBLIC_URL are not set: Afilnet could not fetch uploaded files, so uploads get 503 media-not-public'

/** What uploads would meet: of interest to those who use them, so only the check of a configuration says it. */
export function mediaWarningsOf(config: Config): string[] {
  const { media, storeUrl } = config
  const isShared = media.url !== undefined && readStoreUrl(storeUrl)?.kind === 'server' && media.place.kind === 'folder'
  return applicable(
    mediaIssueOf(config),
    isShared && 'MEDIA_STORE is a folder: several gateways on one ledger need s3://…, since each serves the files of all',
  )
}

function warningsOfAccount([name, { transport, user, password, clientSecret = '' }]: [string, AccountConfig]): string[] {
  const blank = (text: string) => text !== text.trim() || /[\r\n]/.test(text)
  const isUntested = transport === 'json' || transport === 'soap'
  return applicable(
    transport === 'get' && 'the get transport puts the password into the URL of every call, where proxies log it',
    blank(user) && 'the user has blanks or line breaks that are probably not part of it',
    isUntested && `the transport ${transport} was never tested against the real Afilnet; run npm run doctor first`,
    blank(clientSecret) && 'the client secret has blanks or line breaks that are probably not part of it',
    blank(password) && 'the password has blanks or line breaks that are probably not part of it',
  ).map(warning => `account ${name}: ${warning}`)
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}
