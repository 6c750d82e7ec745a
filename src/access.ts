/** The scopes that a key can have. */
export const scopes = ['channels:read', 'chats:read', 'messages:read', 'messages:send', 'files:send', 'events:read'] as const
export type Scope = (typeof scopes)[number]

/** The chats that a caller may use: three segments, each a literal, a literal prefix and `*`, or `*`. */
export type ChatPattern = string

const segment = '([^/*]+\\*?|\\*)'

/** The syntax of a pattern, for JSON Schema. */
export const chatPattern = `^${segment}/${segment}/${segment}$`

/**
 * Whether the patterns allow a chat (three values), or at least one chat of a channel (two values).
 *
 * The decoded values are compared one by one: a slash inside a value is an ordinary character. No list of patterns allows everything, an
 * empty list nothing.
 */
export function allows(patterns: readonly ChatPattern[] | undefined, ...values: (string | null)[]): boolean {
  return patterns?.some(pattern => pattern.split('/', values.length).every((part, i) => matches(part, values[i] ?? null))) ?? true
}

/** Whether the patterns allow every conversation of a channel. */
export function allowsChannel(patterns: readonly ChatPattern[] | undefined, platform: string, platformId: string): boolean {
  return allows(
    patterns?.filter(pattern => pattern.endsWith('/*')),
    platform,
    platformId,
  )
}

function matches(part: string, value: string | null) {
  return value !== null && (part.endsWith('*') ? value.startsWith(part.slice(0, -1)) : value === part)
}

/** What people put into a phone number, beside its digits. */
const numberFormatting = /[\p{Zs}+().[\]-]/gu

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
  [/^[\p{RGI_Emoji}\p{Extended_Pictographic}\p{Zs}]+$/v, 'consists of emoji'],
]

/** Why nothing may be sent to a destination (or, with `sending: false`, read of it): what was found and what is expected. */
export function destinationIssue(platform: string, destination: string, { sending }: { sending: boolean }): string | undefined {
  const list = /[,;|]/.exec(destination)?.[0]
  if (list !== undefined) return `contains ${JSON.stringify(list)}; name one recipient, not a list`
  if (/\p{Cc}/u.test(destination)) return 'contains a control character'
  const bug = sending && bugs.find(([form]) => form.test(destination))
  if (bug) return `${bug[1]}; name the recipient, for WhatsApp a number with its country code`
  if (platform !== 'whatsapp') return undefined
  if (/^00\d{5,15}$/.test(destination.replace(numberFormatting, '')))
    return 'begins with 00; write the country code without it, as in 34600000000'
  if (!/\p{Zs}/u.test(destination) || !(sending || /^\d+$/.test(destination.replace(numberFormatting, '')))) return undefined
  return 'contains a blank and is not one phone number of 7 to 15 digits'
}
