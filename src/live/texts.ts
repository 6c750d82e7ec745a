import { LRUCache } from 'lru-cache'
import type { Chat } from '../access.ts'
import type { NewEvent } from '../store/event-log.ts'
import { findMessage } from './identity.ts'
import type { ConversationRead, List, Message } from './ports.ts'

/** Reads a conversation of an account now; a conversation that Afilnet does not know is an empty list. */
export type ReadConversation = (account: string, chat: Chat) => Promise<List<Message>>

type Latest = {
  /** When the read began by the clock of this process that never jumps, and when its answer had arrived by the wall clock. */
  beganAt: number
  endedAt: number
  byId: ReadonlyMap<string, Message>
  list: readonly Message[]
}

type Options = { read: ReadConversation; secret: () => Promise<Uint8Array> }

/** About how much of memory all texts may take, with 300 for what surrounds each, and for a conversation without any. */
const maxCharacters = 4_194_304
const aroundText = 300

/**
 * The latest answer for each conversation, as far as there is room: an event gets its text from here, or from one read that all who wait
 * for it share. An answer from before the event is never used.
 */
export class Texts {
  readonly #options: Options
  readonly #latest = new LRUCache<string, Latest>({
    maxSize: maxCharacters,
    sizeCalculation: ({ list }) => list.reduce((sum, { message }) => sum + aroundText + (message?.length ?? 0), aroundText),
  })
  readonly #reading = new Map<string, { beganAt: number; done: Promise<Latest> }>()

  constructor(options: Options) {
    this.#options = options
  }

  /** What the poller has just read; to be called before it appends the events. */
  remember({ account, rows, endedAt, ...chat }: ConversationRead) {
    const byId = new Map(rows.map(({ messageId, message }) => [messageId, message]))
    const list = rows.map(({ message }) => message)
    this.#latest.set(keyOf(account, chat), { beganAt: Number.NEGATIVE_INFINITY, endedAt, byId, list })
  }

  /** The message of an event, which this process learnt of at that time; null if Afilnet no longer lists it. Rejects while Afilnet cannot be read. */
  find(account: string, event: NewEvent, learntAt: number): Message | null | Promise<Message | null> {
    const { platform, platformId, destination, messageId } = event
    if (platform === null || platformId === null || destination === null || messageId === null) return null
    const chat = { platform, platformId, destination }
    const key = keyOf(account, chat)
    const known = this.#latest.get(key)
    const message = known?.byId.get(messageId)
    if (known && known.beganAt >= learntAt) return message ?? this.#search(known, messageId)
    // By the wall clock only what is there counts: another process, of another clock, may have polled since.
    if (message && known && known.endedAt >= event.at) return message
    return this.#read(key, account, chat, learntAt).then(latest => this.#search(latest, messageId))
  }

  async #search({ list }: Latest, messageId: string) {
    return findMessage(messageId, list, await this.#options.secret()) ?? null
  }

  /** One read at a time for each conversation; who needs a newer one waits for the next. */
  async #read(key: string, account: string, chat: Chat, learntAt: number): Promise<Latest> {
    for (let reading = this.#reading.get(key); reading; reading = this.#reading.get(key)) {
      if (reading.beganAt >= learntAt) return reading.done
      await reading.done.catch(() => {})
    }
    const beganAt = performance.now()
    const done = this.#options.read(account, chat).then(({ items = [], endedAt }) => {
      const byId = new Map(items.flatMap(message => (message.messageId === null ? [] : [[message.messageId, message] as const])))
      return { beganAt, endedAt, byId, list: items }
    })
    this.#reading.set(key, { beganAt, done })
    try {
      const latest = await done
      // Another process may have polled it, by another clock: only the time of this read counts.
      this.#latest.set(key, { ...latest, endedAt: Number.NEGATIVE_INFINITY })
      return latest
    } finally {
      this.#reading.delete(key)
    }
  }
}

const keyOf = (account: string, { platform, platformId, destination }: Chat) => JSON.stringify([account, platform, platformId, destination])
