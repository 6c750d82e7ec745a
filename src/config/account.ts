import { isLocal } from '../lib/addresses.ts'
import { AccountRow } from './file-schema.ts'
import { isNot } from './quote.ts'
import { passwordIssue, type ReadFile, sandboxPassword } from './secrets.ts'
import { readTransport, type TransportConfig, type TransportParts } from './transport.ts'
import { usualIntervalMs } from './variables/events.ts'
import { type Report, Variables } from './variables.ts'

export type AccountConfig = TransportConfig & {
  /** The OAuth 2.0 client, where the account is used without a user; then the password is empty. */
  user: string
  password: string
  connections: number
  timezone?: string
  /** Rows of a list may name another destination than the one asked for, where the caller is not limited to certain chats. */
  rows?: 'destination-open'
  /** What Afilnet calls `sent` is not taken to say who wrote a message. */
  sent?: 'ignore'
  /** The channels to watch, and how often; absent: none. */
  events?: EventsConfig
}

type EventsConfig = { channels: readonly string[]; intervalMs: number }

/** Whether the conversations of an account can prove what became of an unknown send. */
export const canReadBack = ({ timezone, events, sent }: AccountConfig) =>
  sent !== 'ignore' && (timezone !== undefined || events !== undefined)

/** What is written of an account, in the environment or in the file. */
export type AccountParts = TransportParts & { [K in 'timezone' | 'rows' | 'sent']?: AccountConfig[K] | undefined } & {
  events?: { channels: readonly string[]; intervalMs?: number } | undefined
  connections: number
}

/** What must hold for an account, wherever it is configured; what is missing has been reported already. */
export function accountOf(parts: AccountParts, read: ReadFile, report: Report): AccountConfig {
  const { password, timezone, rows, sent, events, connections } = parts
  const way = readTransport(parts, read, report)
  const user = parts.user ?? (way.needsUser ? undefined : parts.clientId)
  if (user === undefined && way.needsUser) report('user', `is required: ${AccountRow.properties.user.expected}`)
  if (password === undefined && way.needsUser) report('password', `is required: ${AccountRow.properties.password.expected}`)
  const secretIssue = password === undefined ? undefined : passwordIssue(password)
  if (secretIssue) report('password', secretIssue)
  const isRemote = [way.config.url, way.config.tokenUrl].some(url => url && !isLocal(url))
  if (password?.trim() === sandboxPassword && isRemote)
    report('password', 'is the password of the sandbox, which is for a loopback host or one named sandbox')
  if (way.config.transport === 'basic' && user?.includes(':')) report('user', 'contains a colon, which the basic transport cannot carry')
  if (timezone !== undefined && !isTimeZone(timezone))
    report('timezone', isNot(timezone, String(Variables.properties.AFILNET_TIMEZONE.expected)))
  const account = {
    user,
    password: password ?? '',
    ...way.config,
    connections,
    ...(timezone !== undefined && { timezone }),
    ...(rows && { rows }),
    ...(sent && { sent }),
    ...(events && { events: { intervalMs: usualIntervalMs, ...events } }),
  }
  return account as AccountConfig // complete, or reported and never used
}

function isTimeZone(name: string) {
  try {
    return /^[A-Za-z]/.test(name) && Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}
