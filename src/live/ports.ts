import type { Chat } from '../access.ts'
import type { Change } from './conversation.ts'
import type { ListedMessage } from './identity.ts'

export type Channel = { platform: string; platformId: string }

/** A message as callers get it. */
export type Message = ListedMessage & { destination: string | null; direction: 'in' | 'out' | null }

/** An answer of Afilnet; `beganAt` and `endedAt` are epoch milliseconds. No items: the bytes are those of the known digest. */
export type List<I> = { items?: readonly I[]; digest: string; beganAt: number; endedAt: number }

/** What the poller reads of Afilnet. Each call waits behind those of callers, and rejects with `ReadError`. */
export type AfilnetReads = {
  channels(): Promise<List<Channel>>
  /** The last message of each conversation; an unknown chat is an empty list. */
  chats(channel: Channel, knownDigest?: string): Promise<List<Message>>
  messages(chat: Chat): Promise<List<Message>>
}

/** A read that failed. */
export class ReadError extends Error {
  override readonly name = 'ReadError'
  /** The code of the failure, for the log. */
  readonly code: string
  /** The answer exceeds the size limit. */
  readonly isTooLarge: boolean
  /** How long not to ask again. */
  readonly retryAfterMs: number
  constructor(code: string, { isTooLarge = false, retryAfterMs = 0 } = {}) {
    super(code)
    this.code = code
    this.isTooLarge = isTooLarge
    this.retryAfterMs = retryAfterMs
  }
}

/** A conversation as it was just read. `absentAt`: what is new was not there then; epoch milliseconds, absent if that is not known. */
export type ConversationRead = Chat & {
  account: string
  absentAt: number | undefined
  beganAt: number
  endedAt: number
  rows: { messageId: string; change: Change['type'] | undefined; message: Message }[]
}

/** What others want to learn of each read, and what they want to be read. */
export type PollerHooks = {
  /** Called before the events of the read are appended: their text is at hand then. */
  remember?(read: ConversationRead): void
  /**
   * Awaited before they are appended: what is known then is read and reported again if the process dies in between.
   *
   * Rejects while the store is away, which ends the term.
   */
  onRead?(read: ConversationRead): Promise<void>
  /** Conversations with a send of the last hour that has no final delivery. */
  undelivered?(account: string): Promise<readonly Chat[]>
}
