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

export type Blame = (place: string, expected: string) => void

/** Reads a file's text, if it can and if it is text in UTF-8. */
export type ReadFile = (path: string) => string | undefined

type Many = { accounts: Record<string, AccountConfig>; callers: Record<string, CallerConfig> }

/** The one account and the one caller of the environment. */
export function readSingle(values: Partial<Static<typeof Variables>>, connections: number, blame: Blame): Many {
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
export function readFileOfMany(path: string, { environment, read, connections, blame }: ManyOptions): Many {
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
  rows?: AccountConfig['rows'] | undefined
  connections: number
}

/** What must hold for an account, wherever it is configured; what is missing has been blamed already. */
function accountOf(
  { user, password, transport = 'post', url: given, timezone, rows, connections }: Partial<AccountParts> & { connections: number },
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
  const account = { user, password, transport, url, connections, ...(timezone !== undefined && { timezone }), ...(rows && { rows }) }
  return account as AccountConfig // complete, or blamed and never used
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
