import { isLoopback } from '../lib/addresses.ts'
import { showMediaPlace } from '../media/place.ts'
import { maskStoreUrl, readStoreUrl } from '../store/url.ts'
import { type AccountConfig, canReadBack } from './account.ts'
import type { Config } from './config.ts'
import type { VariableName } from './variables.ts'

const set = '<set>'

/** What `--check` shows for each variable; `undefined` if it is not set and has no default. */
function describeVariables(config: Config): Record<VariableName, unknown> {
  const { configFile, media, proxyUrl, tracing } = config
  const { accounts, callers, webhooks } = describeRows(config)
  const [account, caller, webhook] = configFile === undefined ? [accounts.default, callers.default, webhooks.default] : []
  return {
    GATEWAY_CONFIG: configFile,
    AFILNET_USER: account?.user,
    AFILNET_PASSWORD: account?.password,
    AFILNET_TRANSPORT: account?.transport,
    AFILNET_URL: account?.url,
    AFILNET_TOKEN_URL: account?.tokenUrl,
    AFILNET_CLIENT_ID: account?.clientId,
    AFILNET_CLIENT_SECRET: account?.clientSecret,
    AFILNET_SCOPE: account?.scope,
    AFILNET_GRANT: account?.grant,
    AFILNET_JSON_STYLE: account?.jsonStyle,
    AFILNET_WSDL: account?.wsdl,
    AFILNET_TIMEOUT_MS: config.timeoutMs,
    AFILNET_LATE_MS: config.lateMs,
    AFILNET_CONNECTIONS: config.connections,
    AFILNET_MAX_RESPONSE_BYTES: config.maxResponseBytes,
    READ_CACHE_MS: config.readCacheMs,
    AFILNET_TIMEZONE: account?.timezone,
    AFILNET_PROXY: proxyUrl && (proxyUrl.username || proxyUrl.password ? `${proxyUrl.protocol}//${set}@${proxyUrl.host}` : proxyUrl.origin),
    AFILNET_ROWS: account?.rows,
    AFILNET_SENT: account?.sent,
    GATEWAY_KEY_SHA256: caller?.keySha256,
    RATE_LIMIT_PER_MINUTE: caller?.rateLimit?.requestsPerMinute,
    HOST: config.host,
    PORT: config.port,
    ADMIN_HOST: config.adminHost,
    ADMIN_PORT: config.adminPort,
    TRUST_PROXY: config.trustProxy,
    CORS_ORIGINS: config.corsOrigins,
    PUBLIC_URL: config.publicUrl,
    MCP: config.mcp,
    DOCS: config.docs,
    LOG_LEVEL: config.logLevel,
    KEEP_ALIVE_MS: config.keepAliveMs,
    ALLOW_DEBUG: config.allowDebug,
    OTEL_EXPORTER_OTLP_ENDPOINT: tracing?.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: tracing && mapValues(tracing.headers, () => set),
    OTEL_SERVICE_NAME: tracing?.serviceName,
    OTEL_TRACES_SAMPLER: tracing?.sampler,
    OTEL_TRACES_SAMPLER_ARG: tracing?.ratio,
    STORE_URL: maskStoreUrl(config.storeUrl),
    SENDS_KEEP_HOURS: config.keepHours,
    STORE_MAX_MB: config.storeMaxMb,
    QUEUE_KEY: config.queueKeys?.map(() => set),
    READ_BACK: config.readBack && (Object.values(config.accounts).every(canReadBack) || readBackIsOff(config)),
    IDEMPOTENCY_REQUIRED: config.idempotencyRequired,
    MEDIA_URL: media.url,
    MEDIA_STORE: showMediaPlace(media.place),
    MEDIA_MAX_BYTES: media.maxBytes,
    MEDIA_KEEP_HOURS: media.keepMs / 3_600_000,
    MEDIA_MAX_MB: media.maxTotalBytes / 1_048_576,
    EVENTS_CHANNELS: account?.events?.channels,
    EVENTS_INTERVAL_MS: account?.events?.intervalMs,
    EVENTS_KEEP_HOURS: config.eventsKeepMs / 3_600_000,
    WEBHOOK_URL: webhook?.url,
    WEBHOOK_SECRET: webhook?.secret,
    DRAIN_MS: config.drainMs,
    DRAIN_DELAY_MS: config.drainDelayMs,
  }
}

/** Names the accounts in whose conversations an unknown send cannot be looked for. */
function readBackIsOff({ accounts, configFile }: Config) {
  const names = Object.entries(accounts).flatMap(([name, account]) => (canReadBack(account) ? [] : [name]))
  const which = configFile === undefined ? '' : ` for ${names.join(', ')}`
  const [timezone, sent] = configFile === undefined ? ['AFILNET_TIMEZONE', 'AFILNET_SENT=ignore'] : ['a timezone', 'sent=ignore']
  return `off${which}: it needs ${timezone} or events, and no ${sent}`
}

/** What the configuration has by names, without secrets. The query of a webhook's URL may hold one. */
const describeRows = ({ accounts, callers, webhooks }: Config) => ({
  accounts: mapValues(accounts, withoutSecrets),
  callers: mapValues(callers, caller => ({ ...caller, keySha256: caller.keySha256.map(() => set) })),
  webhooks: mapValues(webhooks, ({ url, secrets, ...rest }) => {
    return { ...rest, url: `${url.origin}${url.pathname}`, secret: secrets.map(() => set) }
  }),
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
export const describeConfig = (config: Config): Record<string, unknown> => ({
  ...describeVariables(config),
  ...(config.configFile !== undefined && describeRows(config)),
  files: Object.keys(config.files),
})

/** What is valid and yet probably not meant. */
export function warningsOf(config: Config): string[] {
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
      ([name, { expires }]) => expires !== undefined && Date.parse(expires) <= Date.now() && `caller ${name}: its keys have expired`,
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
