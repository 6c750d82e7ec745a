/** What a key can be given. */
export const scopes = ['channels:read', 'chats:read', 'messages:read', 'messages:send', 'files:send'] as const
export type Scope = (typeof scopes)[number]

/** What a caller may touch: three segments, each a literal, a literal prefix and `*`, or `*`. */
export type ChatPattern = string

const segment = '([^/*]+\\*?|\\*)'

/** The form of a pattern, as JSON Schema has it. */
export const chatPattern = `^${segment}/${segment}/${segment}$`

/**
 * Whether a caller may touch the chat, or reaches some chat of a channel of two values.
 *
 * Values are decoded and compared one by one: a slash in one of them is a character like any other. A caller without patterns may touch
 * all, one with an empty list none.
 */
export function reaches(patterns: readonly ChatPattern[] | undefined, ...values: (string | null)[]): boolean {
  return patterns?.some(pattern => pattern.split('/', values.length).every((part, i) => fits(part, values[i] ?? null))) ?? true
}

/** Whether a caller may see the last messages of all conversations of a channel. */
export function reachesAll(patterns: readonly ChatPattern[] | undefined, platform: string, platformId: string): boolean {
  return reaches(
    patterns?.filter(pattern => pattern.endsWith('/*')),
    platform,
    platformId,
  )
}

function fits(part: string, value: string | null) {
  return value !== null && (part.endsWith('*') ? value.startsWith(part.slice(0, -1)) : value === part)
}
