import type { Conversation, KnownMessage } from './conversation.ts'

/** A state as it is stored. */
type StoredState = {
  /** Names the row of getchats up to which the conversation was read. */
  mark: string
  /** When the answer was asked for; epoch milliseconds. */
  readAt: number
  conversation: Conversation
}

type Entry = [id: string | 0, digest: string, number: number, status: number, unlistedAt?: number]
type Text = { mark: string; at: number; old: string | null; down?: boolean; base?: true; status: (string | null)[]; known: Entry[] }

/** Writes a state in few bytes: it is written with each message, and holds as many entries as Afilnet lists rows. */
export function writeState({ mark, readAt: at, conversation }: StoredState): string {
  const { oldBefore: old, isDescending, isBaseline, messages } = conversation
  const status = [...new Set(messages.map(message => message.status))]
  const known = messages.map((message): Entry => {
    const { id, digest, number = 0, unlistedAt } = message
    const entry = [id ?? 0, digest, number, status.indexOf(message.status)] as const
    return unlistedAt === undefined ? [...entry] : [...entry, unlistedAt]
  })
  const direction = isDescending !== undefined && { down: isDescending }
  return JSON.stringify({ mark, at, old, ...direction, ...(isBaseline && { base: true }), status, known } satisfies Text)
}

/** Reads what `writeState` wrote. */
export function readState(text: string): StoredState {
  const { mark, at, old, down, base, status, known } = JSON.parse(text) as Text // written above, by this or an earlier release
  const messages = known.map(
    ([id, digest, number, state, unlistedAt]): KnownMessage => ({
      id: id === 0 ? null : id,
      digest,
      ...(number > 0 && { number }),
      status: status[state] ?? null,
      ...(unlistedAt !== undefined && { unlistedAt }),
    }),
  )
  const conversation: Conversation = {
    oldBefore: old,
    ...(down !== undefined && { isDescending: down }),
    ...(base && { isBaseline: true }),
    messages,
  }
  return { mark, readAt: at, conversation }
}

const markForm = /^\{"mark":"([^"]*)"/

/** The mark alone, without reading the rest. */
export const readMark = (text: string): string => markForm.exec(text)?.[1] ?? ''
