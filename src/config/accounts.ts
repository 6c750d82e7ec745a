import { allows, normalizePattern, platforms, type Scope, scopes } from '../access.ts'
import { type AccountConfig, type AccountParts, accountOf } from './account.ts'
import { readRows } from './file.ts'
import { accountName, type CallerRow } from './file-schema.ts'
import { isNot, quoted } from './quote.ts'
import { digestIssue, hasDuplicate, type ReadFile, withoutNewline } from './secrets.ts'
import { isIdle } from './transport.ts'
import { channelPattern, expectedChannel, usualIntervalMs } from './variables/events.ts'
import type { Environment, Report, Values } from './variables.ts'
import { readSingleWebhook, type WebhookConfig, webhookOf } from './webhooks.ts'

export type CallerConfig = Omit<CallerRow, '$comment' | 'keySha256' | 'scopes' | 'chats'> & {
  keySha256: readonly string[]
  scopes: readonly Scope[]
  chats?: readonly string[]
}

/** `used` are the environment variables that the file refers to. */
type Many = {
  accounts: Record<string, AccountConfig>
  callers: Record<string, CallerConfig>
  webhooks: Record<string, WebhookConfig>
  warnings: string[]
  used: string[]
}

/** The one account and the one caller of the environment. */
export function readSingle(values: Partial<Values>, connections: number, read: ReadFile, report: Report): Many {
  const account: AccountParts = {
    user: values.AFILNET_USER,
    password: values.AFILNET_PASSWORD,
    transport: values.AFILNET_TRANSPORT,
    url: values.AFILNET_URL,
    tokenUrl: values.AFILNET_TOKEN_URL,
    clientId: values.AFILNET_CLIENT_ID,
    clientSecret: values.AFILNET_CLIENT_SECRET,
    scope: values.AFILNET_SCOPE,
    grant: values.AFILNET_GRANT,
    jsonStyle: values.AFILNET_JSON_STYLE,
    wsdl: values.AFILNET_WSDL,
    timezone: values.AFILNET_TIMEZONE,
    rows: values.AFILNET_ROWS,
    sent: values.AFILNET_SENT,
    events: readEvents(values, report),
    connections,
  }
  const warnings: string[] = []
  const nameOf = (property: string) => `AFILNET_${property.replace(/[A-Z]/g, '_$&').toUpperCase()}`
  const idle = isIdle(account)
  if (idle) warnings.push(`${nameOf(idle.property)} is not used: ${idle.why}`)
  const keySha256 = values.GATEWAY_KEY_SHA256?.split(',') ?? []
  const issue = keySha256.map(digestIssue).find(Boolean)
  if (issue) report('GATEWAY_KEY_SHA256', issue)
  else if (hasDuplicate(keySha256)) report('GATEWAY_KEY_SHA256', 'contains the same digest twice')
  const requestsPerMinute = values.RATE_LIMIT_PER_MINUTE
  const rateLimit = requestsPerMinute !== undefined && { rateLimit: { requestsPerMinute } }
  return {
    accounts: { default: accountOf(account, read, (property, message) => report(nameOf(property), message)) },
    callers: { default: { keySha256, account: 'default', scopes: [...scopes], ...rateLimit } },
    webhooks: readSingleWebhook(values, report),
    warnings,
    used: [],
  }
}

type ManyOptions = { environment: Environment; read: ReadFile; connections: number; report: Report }

/** The accounts and callers of `GATEWAY_CONFIG`. */
export function readMany(path: string, { environment, read, connections, report }: ManyOptions): Many {
  const { text, issue } = read(path)
  if (issue) report('GATEWAY_CONFIG', `the file ${issue}`)
  const rows = text === undefined ? { accounts: [], callers: [], webhooks: [] } : readRows(text, report)

  const warnings: string[] = []
  const used: string[] = []
  const secretAt = (path: string, reference: Reference | undefined) => {
    if (reference && 'env' in reference) used.push(reference.env)
    return reference && readReference(reference, environment, read, message => report(path, message))
  }
  const accounts = rows.accounts.map(({ name, path, row: { $comment, ...row } }) => {
    const reportProperty: Report = (property, message) => report(`${path}.${property}`, message)
    const secrets = {
      password: secretAt(`${path}.password`, row.password),
      clientSecret: secretAt(`${path}.clientSecret`, row.clientSecret),
    }
    const parts: AccountParts = { connections, ...row, ...secrets }
    const idle = isIdle(parts)
    if (idle) warnings.push(`${path}.${idle.property} is not used: ${idle.why}`)
    return [name, accountOf(parts, read, reportProperty)] as const
  })
  const names = accounts.map(([name]) => name)
  const owners = new Map<string, string>()
  const callers = rows.callers.map(({ name, path, row: { $comment, ...row } }) => {
    if (row.account !== undefined && !names.includes(row.account)) report(`${path}.account`, noAccount(row.account, names))
    for (const [i, digest] of (row.keySha256 ?? []).entries()) {
      const at = `${path}.keySha256[${i}]`
      const owner = owners.get(digest)
      const advice = owner?.startsWith(`${path}.`) ? 'remove one of them' : 'each caller needs a key of its own'
      const issue = digestIssue(digest) ?? (owner === undefined ? undefined : `is the digest of ${owner} too; ${advice}`)
      if (issue) report(at, issue)
      owners.set(digest, at)
    }
    const chats = row.chats && normalizeChats(row.chats, `${path}.chats`, warnings)
    return [name, { ...row, ...(chats && { chats }) } as CallerConfig] as const // complete, or reported already
  })
  const webhooks = rows.webhooks.map(({ name, path, row: { $comment, chats, secret, ...row } }) => {
    if (row.account !== undefined && !names.includes(row.account)) report(`${path}.account`, noAccount(row.account, names))
    const secrets = (secret === undefined ? [] : [secret].flat()).map(reference => secretAt(`${path}.secret`, reference))
    const patterns = chats && normalizeChats(chats, `${path}.chats`, warnings)
    return [name, webhookOf({ ...row, secrets, ...(patterns && { chats: patterns }) }, property => `${path}.${property}`, report)] as const
  })
  return {
    accounts: Object.fromEntries(accounts),
    callers: Object.fromEntries(callers),
    webhooks: Object.fromEntries(webhooks),
    warnings,
    used,
  }
}

function noAccount(name: string, names: readonly string[]) {
  const shown = names.filter(name => new RegExp(accountName).test(name)) // other names may be a secret in the wrong place
  return `there is no account ${quoted(name).replace('the value', 'of that name')} (accounts: ${shown.join(', ') || 'none'})`
}

/** Chat patterns as requests are compared with them; adds a warning for each that is written otherwise or matches no chat. */
function normalizeChats(patterns: readonly string[], path: string, warnings: string[]): string[] {
  return patterns.flatMap((pattern, i) => {
    const normalized = normalizePattern(pattern)
    if (!platforms.some(platform => allows([pattern], platform)))
      warnings.push(`${path}[${i}]: matches no chat; the platforms are ${platforms.join(', ')}`)
    if (normalized.join() !== pattern)
      warnings.push(`${path}[${i}]: WhatsApp numbers are compared by their digits; the pattern is read without their formatting`)
    if (normalized.some(chat => /^whatsapp\/[^/]+\/00\d*\*?$/.test(chat)))
      warnings.push(`${path}[${i}]: no WhatsApp number begins with 00 here; write the country code without it, as in whatsapp/100/34*`)
    return normalized
  })
}

type Reference = { file: string } | { env: string }

function readReference(
  reference: Reference,
  environment: Environment,
  read: ReadFile,
  report: (message: string) => void,
): string | undefined {
  const found = 'env' in reference ? readEnvironment(reference.env, environment) : read(reference.file)
  if (found.text === undefined) return void report('env' in reference ? `${found.issue}` : `the file ${found.issue}`)
  const secret = 'env' in reference ? found.text : withoutNewline(found.text)
  if (!/\S/.test(secret)) return void report('is empty')
  return secret
}

function readEnvironment(name: string, environment: Environment) {
  const text = Object.hasOwn(environment, name) ? environment[name] : undefined
  // A name that no variable has may be the password itself.
  const shown = /^[A-Z_][A-Z0-9_]{0,63}$/.test(name) ? `the environment variable ${name}` : 'the environment variable'
  return { text, issue: `${shown} is not set` }
}

/** The channels of the environment. */
function readEvents({ EVENTS_CHANNELS: list, EVENTS_INTERVAL_MS: intervalMs = usualIntervalMs }: Partial<Values>, report: Report) {
  if (list === undefined) return undefined
  const channels = list.split(',').map(item => item.trim())
  const wrong = channels.find(item => !new RegExp(channelPattern).test(item))
  if (wrong !== undefined) report('EVENTS_CHANNELS', isNot(wrong, expectedChannel))
  return { channels, intervalMs }
}
