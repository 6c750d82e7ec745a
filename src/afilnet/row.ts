import { getChatChannels, getMessages, type Operation } from './operations.ts'

/** An item of a list as Afilnet wrote it. */
export type Item = Record<string, unknown>

const messageFields: readonly string[] = [...getMessages.row, 'issent']
const documented = { channels: new Set<string>(getChatChannels.row), messages: new Set(messageFields), send: new Set<string>() }

/** A row in Afilnet's words: the fields of the manual, and `extra` with all others. */
export function readRow({ kind, row: fields }: Operation, item: Item): Item {
  const row: Item = {}
  for (const field of fields) {
    if (field === 'sent' || field === 'issent') row.sent = readSent(item)
    else row[field] = readText(item[field])
  }
  const extra = readExtra(kind, item)
  if (extra) row.extra = extra
  return row
}

/** A field whose documented value is a text; ids and numbers become text, a structure is none. */
export function readText(value: unknown): string | null {
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : null
}

const booleans = new Map<unknown, boolean>([
  ...([true, 1, '1', 'true'] as const).map(word => [word, true] as const),
  ...([false, 0, '0', 'false'] as const).map(word => [word, false] as const),
])

/** `sent` or `issent` as a boolean; `null` where it is none. */
export function readSent({ sent, issent }: Item): boolean | null {
  const value = sent ?? issent
  return booleans.get(value) ?? (typeof value === 'string' ? booleans.get(value.toLowerCase()) : undefined) ?? null
}

/** Who wrote a message, as far as `sent` tells: what Afilnet means by it is an inference. */
export const directionOf = (sent: boolean | null) => (sent === null ? null : sent ? 'out' : 'in')

/** What Afilnet wrote and its manual does not name: it is never thrown away. */
export function readExtra(kind: Operation['kind'], item: Item): Record<string, unknown> | undefined {
  let extra: Record<string, unknown> | undefined
  for (const name in item) {
    const value = item[name]
    // A structure where the manual has a text is nothing that it names.
    if (documented[kind].has(name) && (typeof value !== 'object' || value === null)) continue
    extra ??= Object.create(null) as Record<string, unknown> // so that `__proto__` is a name like any other
    extra[name] = value
  }
  return extra
}
