import type { Static } from '@sinclair/typebox'
import { type Scope, scopes } from '../access.ts'
import { documentedUrl } from '../afilnet/transports.ts'
import { isLoopback } from '../lib/addresses.ts'
import { type CallerRow, readRows } from './file.ts'
import { isExampleDigest, isExampleSecret, sandboxPassword, withoutNewline } from './secrets.ts'
import { type Environment, expectedTimezone, expectedUrl, Variables } from './variables.ts'

export type AccountConfig = {
  user: string
  password: string
  transport: keyof typeof documentedUrl
  url: URL
  connections: number
  timezone?: string
  /** Rows of a list may name another destination than the one asked for, where the caller is not limited to certain chats. */
  rows?: 'destination-open'
}

export type CallerConfig = Omit<CallerRow, '$comment' | 'keySha256' | 'scopes' | 'chats'> & {
  keySha256: readonly string[]
  scopes: readonly Scope[]
  chats?: readonly string[]
}

export type Report = (path: string, expected: string) => void

/** Reads a file's text, if it can and if it is text in UTF-8. */
export type ReadFile = (path: string) => string | undefined

type Many = { accounts: Record<string, AccountConfig>; callers: Record<string, CallerConfig> }

/** The one account and the one caller of the environment. */
export function readSingle(values: Partial<Static<typeof Variables>>, connections: number, report: Report): Many {
  const account = {
    user: values.AFILNET_USER,
    password: values.AFILNET_PASSWORD,
    transport: values.AFILNET_TRANSPORT,
    url: values.AFILNET_URL,
    timezone: values.AFILNET_TIMEZONE,
    rows: values.AFILNET_ROWS,
    connections,
  }
  const keySha256 = values.GATEWAY_KEY_SHA256?.split(',') ?? []
  if (keySha256.some(isExampleDigest)) report('GATEWAY_KEY_SHA256', expectedKey)
  const requestsPerMinute = values.RATE_LIMIT_PER_MINUTE
  const rateLimit = requestsPerMinute !== undefined && { rateLimit: { requestsPerMinute } }
  return {
    accounts: { default: accountOf(account, (property, expected) => report(`AFILNET_${property.toUpperCase()}`, expected)) },
    callers: { default: { keySha256, account: 'default', scopes: [...scopes], ...rateLimit } },
  }
}

type ManyOptions = { environment: Environment; read: ReadFile; connections: number; report: Report }

/** The accounts and callers of `GATEWAY_CONFIG`. */
export function readFileOfMany(path: string, { environment, read, connections, report }: ManyOptions): Many {
  const text = read(path)
  if (text === undefined) report('GATEWAY_CONFIG', `expected ${Variables.properties.GATEWAY_CONFIG.expected}`)
  const rows = text === undefined ? { accounts: [], callers: [] } : readRows(text, report)

  const accounts = rows.accounts.map(({ name, path, row: { $comment, password, ...row } }) => {
    const secret = password && readReference(password, environment, read, expected => report(`${path}.password`, expected))
    const reportProperty: Report = (property, expected) => report(`${path}.${property}`, expected)
    return [name, accountOf({ connections, ...row, password: secret }, reportProperty)] as const
  })
  const names = new Set(accounts.map(([name]) => name))
  const owners = new Map<string, string>()
  const callers = rows.callers.map(({ name, path, row: { $comment, ...row } }) => {
    if (row.account !== undefined && !names.has(row.account)) report(`${path}.account`, 'expected the name of an account in this file')
    for (const [i, digest] of (row.keySha256 ?? []).entries()) {
      const owner = owners.get(digest)
      if (isExampleDigest(digest)) report(`${path}.keySha256[${i}]`, expectedKey)
      if (owner !== undefined) report(`${path}.keySha256[${i}]`, `expected a key of its own: ${owner} has the same`)
      owners.set(digest, `${path}.keySha256[${i}]`)
    }
    return [name, row as CallerConfig] as const // complete, or reported already
  })
  return { accounts: Object.fromEntries(accounts), callers: Object.fromEntries(callers) }
}

const expectedKey = 'expected the digest of a real key, not of an example'

function readReference(
  reference: { file: string } | { env: string },
  environment: Environment,
  read: ReadFile,
  report: (expected: string) => void,
) {
  const named = 'env' in reference && Object.hasOwn(environment, reference.env) ? environment[reference.env] : undefined
  const secret = 'env' in reference ? named : withoutNewline(read(reference.file))
  if (secret === undefined)
    report('env' in reference ? 'expected env to name a variable that is set' : 'expected file to name a file of text that can be read')
  else if (!/\S/.test(secret)) report('expected a password that is not empty')
  else return secret
  return undefined
}

type AccountParts = { [K in 'user' | 'password' | 'url' | 'timezone']: string | undefined } & {
  transport?: AccountConfig['transport'] | undefined
  rows?: AccountConfig['rows'] | undefined
  connections: number
}

/** What must hold for an account, wherever it is configured; what is missing has been reported already. */
function accountOf(
  { user, password, transport = 'post', url: given, timezone, rows, connections }: Partial<AccountParts> & { connections: number },
  report: Report,
): AccountConfig {
  const url = readUrl(given ?? documentedUrl[transport])
  const local = url !== undefined && (isLoopback(url) || url.hostname === 'sandbox')
  if (!url || (url.protocol !== 'https:' && !local)) report('url', `expected ${expectedUrl}`)
  if (password !== undefined && isExampleSecret(password)) report('password', 'expected a real password, not the value of an example')
  if (password?.trim() === sandboxPassword && !local) {
    report('password', "expected the account's password: the sandbox's is for a loopback host or one named sandbox")
  }
  if (transport === 'basic' && user?.includes(':')) report('user', 'expected no colon with the basic transport')
  if (timezone !== undefined && !isTimeZone(timezone)) report('timezone', `expected ${expectedTimezone}`)
  const account = { user, password, transport, url, connections, ...(timezone !== undefined && { timezone }), ...(rows && { rows }) }
  return account as AccountConfig // complete, or reported and never used
}

/** An absolute URL of nothing but host, port and path. */
export function readUrl(value: string): URL | undefined {
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
