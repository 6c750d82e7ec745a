import { type Ordered, order } from './order.ts'

/** A row of Afilnet's list, as far as identity, order and status go. */
export type ListedRow = {
  /** Afilnet's id; null where the row has none. */
  id: string | null
  /** Keyed digest of datetime, `sent` and text: it names a row without an id. */
  digest: string
  datetime: string | null
  status: string | null
}

/** A message that is listed, or was within the retention. */
export type KnownMessage = {
  id: string | null
  digest: string
  /** Of a message that was first listed without an id, its number among equals: it keeps the name that it got then. */
  number?: number
  status: string | null
  /** When an answer first left it out; absent while it is listed. */
  unlistedAt?: number
}

/** What is known of a conversation. */
export type Conversation = {
  /** Rows with an earlier datetime are old; null if none is. */
  oldBefore: string | null
  /** Whether Afilnet lists the newest row first; absent while no list has shown it. */
  isDescending?: boolean
  /** Nothing but the row of the baseline is known yet. */
  isBaseline?: true
  messages: readonly KnownMessage[]
}

/** A message that is new, or whose status changed; `row` is its place in Afilnet's list. */
export type Change = { type: 'message.created' | 'message.updated'; messageId: string; row: number }

export type Advance = {
  conversation: Conversation
  /** In the order of the conversation. */
  changes: Change[]
  /** No row of the list was known or old, although some were known: messages between may be missing. */
  hasGap: boolean
  /** The conversation is not the one that was known. */
  hasChanged: boolean
  /** The stable id of each row, in Afilnet's order. */
  messageIds: string[]
  /** The direction that this list shows. */
  isDescending: boolean | undefined
}

type AdvanceOptions = {
  now: number
  /** How long a message that is no longer listed stays known. */
  keepMs: number
  /** The direction of the account's other lists, for one that does not show its own: one list may be out of order. */
  isDescending?: boolean | undefined
}

/** The stable id of a message: Afilnet's, or one made of what the row holds. */
export const messageIdOf = ({ id, digest, number }: KnownMessage): string =>
  id === null || number !== undefined ? `row-${digest}-${number}` : id

/** A conversation of the baseline, known by its last row. */
export const startAt = (row: ListedRow): Conversation => ({ oldBefore: row.datetime, isBaseline: true, messages: [newMessage(row, 1)] })

/** A conversation that appeared after the baseline of its channel, whose newest row had this datetime. */
export const startEmpty = (oldBefore: string | null): Conversation => ({ oldBefore, messages: [] })

/**
 * What a list of Afilnet's says beyond what was known of its conversation.
 *
 * Rules and reasons: docs/decisions/0036-what-a-list-says-of-a-conversation.md
 */
export function advance(known: Conversation, list: readonly ListedRow[], { now, keepMs, isDescending }: AdvanceOptions): Advance {
  const ordered = order(list, isDescending ?? known.isDescending)
  const matched = match(ordered, known.messages)
  const firstKnown = matched.findIndex(Boolean)
  const isOld = ({ datetime }: ListedRow, position: number) =>
    datetime === null ? known.isBaseline === true && position < firstKnown : known.oldBefore !== null && datetime < known.oldBefore
  const numbers = numberByDigest(known.messages)
  const messageIds = new Array<string>(list.length)
  const changes: Change[] = []
  let isConnected = list.length === 0 || known.messages.length === 0
  let hasChanged = known.isBaseline === true

  const listed = ordered.rows.map(({ row, places }, position) => {
    const before = matched[position]
    const old = isOld(row, position)
    const message = before ? update(before, row) : newMessage(row, nextNumber(numbers, row))
    const messageId = messageIdOf(message)
    const change = before ? message.status !== before.status && 'message.updated' : !old && 'message.created'
    if (change) changes.push({ type: change, messageId, row: places[0] ?? 0 })
    for (const place of places) messageIds[place] = messageId
    if (before || old) isConnected = true
    if (message !== before) hasChanged = true
    return message
  })

  const found = new Set(matched)
  const unlisted: KnownMessage[] = []
  for (const message of known.messages) {
    if (found.has(message)) continue
    if (message.unlistedAt === undefined) hasChanged = true
    const unlistedAt = message.unlistedAt ?? now
    if (unlistedAt > now - keepMs) unlisted.push({ ...message, unlistedAt })
  }
  const direction = ordered.isDescending ?? known.isDescending
  const conversation = {
    oldBefore: known.oldBefore,
    ...(direction !== undefined && { isDescending: direction }),
    messages: [...listed, ...unlisted],
  }
  return { conversation, changes, hasGap: !isConnected, hasChanged, messageIds, isDescending: ordered.isDescending }
}

/** The known message of each row: the one of its id, else one of equal content that is not another row's. */
function match({ rows }: Ordered<ListedRow>, messages: readonly KnownMessage[]): (KnownMessage | undefined)[] {
  const byId = new Map(messages.flatMap(message => (message.id === null ? [] : [[message.id, message] as const])))
  const matched = rows.map(({ row }) => (row.id === null ? undefined : byId.get(row.id)))
  if (matched.every(Boolean)) return matched
  const taken = new Set(matched)
  const byDigest = Map.groupBy(
    messages.filter(message => !taken.has(message)),
    ({ digest }) => digest,
  )
  for (const [position, { row }] of rows.entries()) {
    if (matched[position]) continue
    const equals = byDigest.get(row.digest)
    // A row with an id that is not known is another message, unless it had none before.
    const at = equals?.findIndex(({ id }) => id === null || row.id === null) ?? -1
    if (at >= 0) matched[position] = equals?.splice(at, 1)[0]
  }
  return matched
}

/** A row that was not known before; without an id, `number` tells it from its equals. */
export function newMessage({ id, digest, status }: ListedRow, number: number): KnownMessage {
  return { id, digest, ...(id === null && { number }), status }
}

/** The message as the row shows it; the same object if it shows nothing new. A row without a status or an id takes none away. */
function update(message: KnownMessage, row: ListedRow): KnownMessage {
  const { unlistedAt, ...rest } = message
  const status = row.status ?? message.status
  const id = message.id ?? row.id
  if (unlistedAt === undefined && status === message.status && id === message.id) return message
  return { ...rest, id, status }
}

/** The highest number that a message without an id has, for each digest. */
function numberByDigest(messages: readonly KnownMessage[]): Map<string, number> {
  const numbers = new Map<string, number>()
  for (const { digest, number = 0 } of messages) if (number > (numbers.get(digest) ?? 0)) numbers.set(digest, number)
  return numbers
}

/** Counts rows without an id, by their digests. */
export function nextNumber(numbers: Map<string, number>, { id, digest }: ListedRow): number {
  if (id !== null) return 0
  const number = (numbers.get(digest) ?? 0) + 1
  numbers.set(digest, number)
  return number
}
