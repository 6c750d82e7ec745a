import { channels as firstChannels, seeds } from './seeds.ts'

/** One conversation's address, in Afilnet's words. */
export type Address = { platform: string; platformid: string; destination: string }

export type Channel = { platform: string; platformid: string; name: string }

export type Message = Address & { messageid: string; message: string; sent: boolean; status: string; datetime: string }

/** A message or file that the world really took. */
export type Sent = Address & {
  method: 'sendmessage' | 'sendfile'
  message?: string
  type?: string
  fileurl?: string
  thumburl?: string
  messageid: string
  at: string
}

/** A message that did not come through Afilnet: by default a customer's, written now, unread and listed at once. */
export type Written = Address & { message: string; sent?: boolean; status?: string; datetime?: string; lateMs?: number }

/** So many new conversations of a channel, each with so many messages. */
export type Bulk = Omit<Address, 'destination'> & { conversations: number; messages?: number }

type More = Pick<Message, 'sent' | 'status'> & Pick<Written, 'datetime' | 'lateMs'>

type Entry = { row: Message; shownAt: number }

/** The name of a conversation. */
export const keyOf = ({ platform, platformid, destination }: Address) => JSON.stringify([platform, platformid, destination])

/**
 * Channels, conversations and messages, as Afilnet would hold them; time only passes through `now`.
 *
 * `lateMs` says how long a new message stays out of the lists, and where it belongs it appears then: not necessarily last.
 */
export class World {
  readonly sent: Sent[] = []
  readonly channels: Channel[] = []
  readonly #now: () => number
  readonly #onTaken: (sent: Sent) => void
  readonly #lateMs: () => number
  readonly #chats = new Map<string, Entry[]>()
  #lastId = 0
  #lastBulk = 0

  constructor(now: () => number, onTaken: (sent: Sent) => void, lateMs: () => number) {
    this.#now = now
    this.#onTaken = onTaken
    this.#lateMs = lateMs
    this.reset()
  }

  hasChannel(platform: string, platformid: string): boolean {
    return this.channels.some(channel => channel.platform === platform && channel.platformid === platformid)
  }

  hasChat(address: Address): boolean {
    return this.messages(address).length > 0
  }

  /** What the conversation lists, the oldest first. */
  messages(address: Address): Message[] {
    const chat = this.#chats.get(keyOf(address)) ?? []
    return chat.filter(entry => this.#isShown(entry)).map(({ row }) => row)
  }

  unread(address: Address): Message[] {
    return this.messages(address).filter(message => message.status === 'unread')
  }

  /** Every message that there is, those included that no list shows yet. */
  all(): Message[] {
    return [...this.#chats.values()].flatMap(chat => chat.map(({ row }) => row))
  }

  addresses(): Address[] {
    return [...this.#chats.values()].flatMap(chat => chat[0]?.row ?? [])
  }

  /** The last message of each conversation of a channel, the most recent last. */
  chats(platform: string, platformid: string): Message[] {
    return [...this.#chats.values()]
      .flatMap(chat => chat.findLast(entry => this.#isShown(entry))?.row ?? [])
      .filter(last => last.platform === platform && last.platformid === platformid)
      .sort((a, b) => Number(a.messageid) - Number(b.messageid))
  }

  markRead(address: Address): void {
    for (const message of this.unread(address)) message.status = 'read'
  }

  take(send: Omit<Sent, 'messageid' | 'at'>): void {
    const at = this.#now()
    const text = [send.message, send.fileurl].filter(Boolean).join(' ')
    const messageid = this.#write(send, text, { sent: true, status: 'sent', lateMs: this.#lateMs() }, at)
    const taken = { ...send, messageid, at: new Date(at).toISOString() }
    this.sent.push(taken)
    this.#onTaken(taken)
  }

  /** A customer writes in, or the account answers from elsewhere; `undefined` when there is no such channel. */
  receive({ message, sent = false, status = sent ? 'sent' : 'unread', ...more }: Written): string | undefined {
    if (!this.hasChannel(more.platform, more.platformid)) return undefined
    return this.#write(more, message, { lateMs: this.#lateMs(), ...more, sent, status }, this.#now())
  }

  /** The message takes another status, if it has the one that is expected; `false` when there is no such message. */
  mark(address: Address, messageid: string, status: string, expected?: string): boolean {
    const row = this.#chats.get(keyOf(address))?.find(entry => entry.row.messageid === messageid)?.row
    if (row && (expected === undefined || row.status === expected)) row.status = status
    return row !== undefined
  }

  /** Afilnet forgets the conversation, or one message of it. */
  remove(address: Address, messageid?: string): void {
    const left = (this.#chats.get(keyOf(address)) ?? []).filter(({ row }) => messageid !== undefined && row.messageid !== messageid)
    if (left.length > 0) this.#chats.set(keyOf(address), left)
    else this.#chats.delete(keyOf(address))
  }

  /** Fills a channel; the customers' numbers begin with 347. `false` when there is no such channel. */
  fill({ platform, platformid, conversations, messages = 1 }: Bulk): boolean {
    if (!this.hasChannel(platform, platformid)) return false
    for (let n = 0; n < conversations; n++) {
      const address = { platform, platformid, destination: String(34_700_000_000 + this.#lastBulk++) }
      for (let m = 1; m <= messages; m++) this.#write(address, `Message ${m}`, { sent: false, status: 'read' }, this.#now() - 60_000)
    }
    return true
  }

  addChannel(channel: Channel): void {
    this.channels.push(channel)
  }

  removeChannel(platform: string, platformid: string): void {
    const at = this.channels.findIndex(channel => channel.platform === platform && channel.platformid === platformid)
    if (at >= 0) this.channels.splice(at, 1)
  }

  reset(): void {
    this.#chats.clear()
    this.channels.splice(0, Number.POSITIVE_INFINITY, ...firstChannels)
    this.sent.length = 0
    this.#lastId = 1000
    this.#lastBulk = 0
    for (const [platform, platformid, destination, minutesAgo, status, text] of seeds) {
      const at = this.#now() - minutesAgo * 60_000
      this.#write({ platform, platformid, destination }, text, { sent: status === 'sent', status }, at)
    }
  }

  #write({ platform, platformid, destination }: Address, message: string, more: More, at: number): string {
    const { sent, status, lateMs = 0, datetime = new Date(at).toISOString().slice(0, 19).replace('T', ' ') } = more
    const row: Message = { platformid, platform, message, destination, messageid: String(++this.#lastId), sent, status, datetime }
    const entry = { row, shownAt: at + lateMs }
    const chat = this.#chats.get(keyOf(row))
    if (chat) chat.push(entry)
    else this.#chats.set(keyOf(row), [entry])
    return row.messageid
  }

  #isShown({ shownAt }: Entry) {
    return shownAt <= this.#now()
  }
}
