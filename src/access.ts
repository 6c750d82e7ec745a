import { hash } from 'node:crypto'

/** The platforms that Afilnet's manual names. */
export const platforms = ['webchat', 'whatsapp', 'telegram', 'operator'] as const

/** The scopes that a key can have. */
export const scopes = [
  'channels:read',
  'chats:read',
  'messages:read',
  'messages:send',
  'files:send',
  'media:write',
  'events:read',
  'tokens:issue',
  'webhooks:read',
  'webhooks:write',
] as const
export type Scope = (typeof scopes)[number]

/** Those that a token for one conversation can have. */
export const tokenScopes = scopes.filter(scope =>
  ['messages:read', 'messages:send', 'files:send', 'media:write', 'events:read'].includes(scope),
)

/** How often a token may be used in a minute, beside the limits of its issuer. */
export const tokenRequestsPerMinute = 120

/** The chats that a caller may use: three segments, each a literal, a literal prefix and `*`, or `*`. */
type ChatPattern = string

/** One conversation, by its literal values. */
export type Chat = { platform: string; platformId: string; destination: string }

/** What limits a caller: patterns, or the one chat of a token. */
export type ChatLimit = ChatPattern | Chat

/** What a token adds to the caller that issued it. */
export type TokenGrant = {
  /** Different for each token. */
  id: string
  /** Who uses it, in its issuer's words; may be empty. */
  actor: string
  chat: Chat
  /** In epoch milliseconds. */
  expiresAt: number
}

const segment = '([^/*]+\\*?|\\*)'

/** The syntax of a pattern, for JSON Schema. */
export const chatPattern = `^${segment}/${segment}/${segment}$`

/**
 * Whether the patterns allow a chat (three values), or at least one chat of a channel (two values).
 *
 * The decoded values are compared one by one: a slash inside a value is an ordinary character. No list of patterns allows everything, an
 * empty list nothing.
 */
export function allows(patterns: readonly ChatLimit[] | undefined, ...values: (string | null)[]): boolean {
  return patterns?.some(pattern => fits(pattern, values)) ?? true
}

function fits(pattern: ChatLimit, values: readonly (string | null)[]) {
  if (typeof pattern === 'string') return pattern.split('/', values.length).every((part, i) => matches(part, values[i] ?? null))
  const literal = [pattern.platform, pattern.platformId, pattern.destination]
  return values.every((value, i) => value === literal[i])
}

/** Whether the patterns allow every conversation of a channel. */
export function allowsChannel(patterns: readonly ChatLimit[] | undefined, platform: string, platformId: string): boolean {
  const ofChannels = patterns?.filter(pattern => typeof pattern === 'string' && pattern.endsWith('/*'))
  return allows(ofChannels, platform, platformId)
}

function matches(part: string, value: string | null) {
  return value !== null && (part.endsWith('*') ? value.startsWith(part.slice(0, -1)) : value === part)
}

/** Names whose idempotency keys and files a token works with: those of one actor in one chat. */
export const scopeOf = (actor: string, { platform, platformId, destination }: Chat): string =>
  hash('sha256', JSON.stringify([actor, platform, platformId, destination]), 'base64url')

/** Names the owner of what a caller makes: its name and account, and for a token also its actor and chat. */
export const ownerOf = ({ name, account, token }: { name: string; account: string; token?: TokenGrant | undefined }): string =>
  JSON.stringify([account, name, ...(token ? [scopeOf(token.actor, token.chat)] : [])])

/** What people put into a phone number beside its digits, and what comes along when they copy one: dashes of any kind and invisible marks. */
const numberFormatting = /[\p{Zs}\p{Pd}\p{Cf}\u2212+().[\]]/gu

/**
 * The one name of a recipient: a WhatsApp number without its formatting (`+34 600-000-000` is `34600000000`), anything else unchanged.
 *
 * Rights, the ledger, searches and Afilnet see this name only, so that a person cannot be reached around a pattern, a limit or a `forget`.
 */
export function normalizeDestination(platform: string, destination: string): string {
  if (platform !== 'whatsapp') return destination
  const digits = destination.replace(numberFormatting, '')
  return /^\d{7,15}$/.test(digits) ? digits : destination
}

/** The names that a recipient may have: on a platform one, on any platform also that of a WhatsApp number. */
export const namesOf = (platform: string | undefined, destination: string): string[] =>
  platform === undefined
    ? [...new Set([destination, normalizeDestination('whatsapp', destination)])]
    : [normalizeDestination(platform, destination)]

/**
 * The patterns that mean the same for normalized destinations; the pattern alone if it is normalized already.
 *
 * One whose platform has a `*` keeps its own form for the other platforms.
 */
export function normalizePattern(pattern: ChatPattern): ChatPattern[] {
  const [platform = '', platformId = '', destination = ''] = pattern.split('/', 3)
  if (!matches(platform, 'whatsapp')) return [pattern]
  const digits = destination.replace(numberFormatting, '')
  const prefix = /^\d+\*$/.test(digits) ? digits : destination // without a digit, what is left would allow everyone
  const normalized = normalizeDestination('whatsapp', prefix)
  if (normalized === destination) return [pattern]
  return [...(platform === 'whatsapp' ? [] : [pattern]), `whatsapp/${platformId}/${normalized}`]
}

/** What a program writes where it has no value. */
const bugs: [RegExp, string][] = [
  [/^(undefined|null|nan|none|<?nil>?|[+-]?infinity)$/i, 'is the name of a missing value, not a recipient'],
  [/\[object \w+\]/, 'is a JavaScript object printed as text, not a recipient'],
  [/\{\{.*\}\}|[$#]\{.*\}|<%.*%>|^\{\w*\}$|^%[sd]$/s, 'is a placeholder that was not replaced'],
  [/^[.\p{Zs}]+$/u, 'has neither letters nor digits'],
  // An emoji with a skin tone is two emoji as well. What a lookahead has found is final: to try both ways for each would take for ever.
  [/^(?:(?=([\p{RGI_Emoji}\p{Extended_Pictographic}\p{Zs}]))\1)+$/v, 'consists of emoji'],
]

/** Why nothing may be sent to a destination (or, with `sending: false`, read of it): what was found and what is expected. */
export function destinationIssue(platform: string, destination: string, { sending }: { sending: boolean }): string | undefined {
  const list = /[,;|]/.exec(destination)?.[0]
  if (list !== undefined) return `contains ${JSON.stringify(list)}; name one recipient, not a list`
  if (/\p{Cc}/u.test(destination)) return 'contains a control character'
  // The schema refuses what has more than 128 characters, and some of these forms take a tenth of a second for 8,000.
  const bug = sending && destination.length <= 256 && bugs.find(([form]) => form.test(destination))
  if (bug) return `${bug[1]}; name the recipient, for WhatsApp a number with its country code`
  if (platform !== 'whatsapp') return undefined
  if (/^00\d{5,15}$/.test(destination.replace(numberFormatting, '')))
    return 'begins with 00; write the country code without it, as in 34600000000'
  if (!/\p{Zs}/u.test(destination) || !(sending || /^\d+$/.test(destination.replace(numberFormatting, '')))) return undefined
  return 'contains a blank and is not one phone number of 7 to 15 digits'
}
