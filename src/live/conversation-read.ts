import type { Chat } from '../access.ts'
import { gapEvent, type KnownState, type NewEvent } from '../store/event-log.ts'
import { within } from '../store/store.ts'
import { type Advance, advance, type ListedRow, startEmpty } from './conversation.ts'
import { rowOf } from './identity.ts'
import { chatKey } from './known-states.ts'
import type { ConversationRead, List, Message } from './ports.ts'
import { readState, writeState } from './state-text.ts'
import type { Term } from './term.ts'

/** Why a conversation is read. */
export type Cause = {
  /** The row of getchats that shows a change, and its mark; absent where the conversation is read for another reason. */
  shown?: ListedRow
  mark?: string | undefined
  /** Rows with an earlier datetime are old in a conversation that is not known. */
  oldBefore: string | null
  absentAt: number | undefined
}

/** How a read ended. `isSettled`: the list holds the row that getchats showed. */
type ReadResult = { isSettled: boolean; beganAt: number }

/** Reads a conversation and appends what is new in it; nothing if the term is over. Rejects with `ReadError`. */
export async function readConversation(term: Term, chat: Chat, cause: Cause): Promise<ReadResult | undefined> {
  const { account, log, reads, secret, hooks, keepMs, storeTimeoutMs } = term.options
  const list = await reads.messages(chat)
  const { items = [], beganAt, endedAt } = list
  const key = chatKey(chat)
  const [text] = await within(storeTimeoutMs, log.find(account, [key]))
  const stored = text === undefined ? undefined : readState(text)

  const rows = items.map(item => rowOf(item, secret))
  const known = stored?.conversation ?? startEmpty(cause.oldBefore)
  const advanced = advance(known, rows, { now: endedAt, keepMs, isDescending: term.isDescending })
  term.voteForDirection(advanced.isDescending)
  const isSettled = cause.shown === undefined || rows.some(row => isSame(row, cause.shown))
  const mark = isSettled ? (cause.mark ?? stored?.mark ?? '') : ''

  const read = describeRead(account, chat, list, advanced, cause.absentAt ?? stored?.readAt)
  hooks.remember?.(read)
  await hooks.onRead?.(read)
  const events = eventsOf(chat, items, advanced, endedAt)
  if (advanced.hasChanged || mark !== stored?.mark || events.length > 0) {
    const state: KnownState = {
      key,
      destination: chat.destination,
      state: writeState({ mark, readAt: beganAt, conversation: advanced.conversation }),
    }
    if (!(await term.append([state], events))) return undefined
  }
  return { isSettled, beganAt }
}

const isSame = (row: ListedRow, shown: ListedRow | undefined) => (row.id !== null && row.id === shown?.id) || row.digest === shown?.digest

function eventsOf(chat: Chat, items: readonly Message[], advanced: Advance, at: number): NewEvent[] {
  const events = advanced.changes.map(({ type, messageId, row }): NewEvent => {
    return { type, at, ...chat, messageId, direction: items[row]?.direction ?? null }
  })
  return advanced.hasGap ? [gapEvent(at, 'no-overlap', chat), ...events] : events
}

function describeRead(
  account: string,
  chat: Chat,
  { items = [], beganAt, endedAt }: List<Message>,
  { changes, messageIds }: Advance,
  absentAt: number | undefined,
): ConversationRead {
  const changed = new Map(changes.map(({ type, messageId }) => [messageId, type]))
  const rows = items.map((message, i) => {
    const messageId = messageIds[i] ?? ''
    return { messageId, change: changed.get(messageId), message }
  })
  return { account, ...chat, absentAt, beganAt, endedAt, rows }
}
