import { type EventLog, gapEvent, type LoggedEvent, type LogMark } from '../store/event-log.ts'
import { cursorOf } from './cursor.ts'
import { type DescribeSend, isOfMessage, ownMessage, writeEvent } from './event-json.ts'
import type { Texts } from './texts.ts'

/** An event on its way to consumers; what is written of it is shared by all of them. */
export type Entry = {
  event: LoggedEvent
  id: string
  /** When this process learnt of it, by the clock that never jumps. */
  learntAt: number
  /** The Event as JSON, and as a block of a stream. */
  json?: string
  block?: string
  /** The same for consumers of certain chats, where they may not see its message. */
  limited?: Entry
}

export type FeedOptions = {
  account: string
  log: EventLog
  texts: Texts
  describeSend: DescribeSend
  onNews: () => void
  onReplaced: () => void
}

const tailEntries = 1_000
const tailCharacters = 4_194_304
const pageEntries = 200
const againMs = 1_000

/** The log is not the one that it was when the consumer began. */
export class LogReplacedError extends Error {
  override readonly name = 'LogReplacedError'
}

/** The log of an account with its newest events in memory, where consumers that keep up find them. */
export class Feed {
  readonly account: string
  identity = ''
  /** The position of the newest event that consumers can be given. */
  last = 0
  isClosed = false
  readonly #options: FeedOptions
  readonly #tail: Entry[] = []
  #tailFrom = 0
  #stop = () => {}
  #reading = false
  #isBehind = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: FeedOptions) {
    this.account = options.account
    this.#options = options
  }

  /** Begins with the events that are appended from now on. */
  async open(): Promise<void> {
    const { log, account } = this.#options
    const mark = await log.open(account)
    this.identity = mark.identity
    this.last = mark.last
    this.#tailFrom = mark.last
    this.#stop = log.watch([account], () => this.#advance())
  }

  close() {
    this.isClosed = true
    this.#stop()
    clearTimeout(this.#timer)
  }

  /** The events after a position that are in memory; `undefined` if it is older. */
  after(position: number): Entry[] | undefined {
    if (position < this.#tailFrom) return undefined
    return this.#tail.slice(this.#tail.findLastIndex(({ event }) => event.position <= position) + 1) // most want the last ones
  }

  /**
   * A page of the events after a position, which begins with a `gap` where some are gone; an empty one is the end.
   *
   * It comes from the log, where there may be events that this process has yet to learn of.
   */
  async read(position: number): Promise<Entry[]> {
    const { mark, events } = await this.#options.log.read(this.account, position, pageEntries)
    if (mark?.identity !== this.identity) throw new LogReplacedError()
    const entries = events.map(event => this.#entryOf(event))
    return mark.trimmed > position ? [this.gap(mark, 'retention'), ...entries] : entries
  }

  /** A `gap` for one consumer: what it missed is before all that is there. */
  gap({ trimmed }: LogMark, reason: string): Entry {
    return this.#entryOf({ ...gapEvent(Date.now(), reason), position: trimmed }, true)
  }

  /** The Event as JSON. Rejects while its text cannot be read. */
  write(entry: Entry): string | Promise<string> {
    if (entry.json !== undefined) return entry.json
    if (!isOfMessage(entry.event)) return this.#write(entry, null)
    const message = this.#options.texts.find(this.account, entry.event, entry.learntAt)
    return message instanceof Promise ? message.then(found => this.#write(entry, found)) : this.#write(entry, message)
  }

  cursorAt(position: number): string {
    return cursorOf(this.account, { identity: this.identity, position })
  }

  #write(entry: Entry, message: Parameters<typeof writeEvent>[2]) {
    const { event, id } = entry
    entry.json ??= writeEvent(event, id, message, this.#options.describeSend)
    entry.block ??= `id: ${id}\nevent: ${event.type}\ndata: ${entry.json}\n\n`
    if (message && !ownMessage(event, message)) {
      entry.limited = { event, id, learntAt: entry.learntAt }
      this.#write(entry.limited, null)
    }
    return entry.json
  }

  #entryOf(event: LoggedEvent, isGap = false): Entry {
    const id = cursorOf(this.account, { identity: this.identity, position: event.position }, isGap)
    return { event, id, learntAt: performance.now() }
  }

  /** Long texts leave earlier than others: a consumer that is behind them reads the log. */
  #shortenTail() {
    let characters = this.#tail.reduce((sum, { block }) => sum + (block?.length ?? 0), 0)
    let gone = 0
    while (this.#tail.length - gone > tailEntries || characters > tailCharacters) characters -= this.#tail[gone++]?.block?.length ?? 0
    this.#tailFrom = this.#tail.splice(0, gone).at(-1)?.event.position ?? this.#tailFrom
  }

  /** Reads what is new; news that arrive meanwhile are read in another round. */
  async #advance() {
    this.#isBehind = true
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#isBehind) {
        this.#isBehind = false
        const { mark, events } = await this.#options.log.read(this.account, this.last, pageEntries)
        if (this.isClosed) return
        if (mark?.identity !== this.identity || mark.last < this.last) return this.#options.onReplaced()
        if (events.length === 0) continue
        this.#tail.push(...events.map(event => this.#entryOf(event)))
        this.last = events.at(-1)?.position ?? this.last
        this.#isBehind ||= events.length === pageEntries
        this.#shortenTail()
        this.#options.onNews()
      }
    } catch {
      if (!this.isClosed) this.#timer = setTimeout(() => this.#advance(), againMs).unref() // the store is away
    } finally {
      this.#reading = false
    }
  }
}
