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

export type World = ReturnType<typeof createWorld>

type More = Pick<Message, 'sent' | 'status'> & Pick<Written, 'datetime' | 'lateMs'>

type Entry = { row: Message; shownAt: number }

const key = ({ platform, platformid, destination }: Address) => JSON.stringify([platform, platformid, destination])

/**
 * Channels, conversations and messages, as Afilnet would hold them; time only passes through `now`.
 *
 * `lateMs` says how long a new message stays out of the lists, and where it belongs it appears then: not necessarily last.
 */
export function createWorld(now: () => number, onTaken: (sent: Sent) => void = () => {}, lateMs = () => 0) {
  const chats = new Map<string, Entry[]>()
  const channels: Channel[] = []
  const sent: Sent[] = []
  let lastId = 1000
  let lastBulk = 0

  const write = ({ platform, platformid, destination }: Address, message: string, more: More, at: number) => {
    const { sent, status, lateMs = 0, datetime = new Date(at).toISOString().slice(0, 19).replace('T', ' ') } = more
    const row: Message = { platformid, platform, message, destination, messageid: String(++lastId), sent, status, datetime }
    const entry = { row, shownAt: at + lateMs }
    const chat = chats.get(key(row))
    if (chat) chat.push(entry)
    else chats.set(key(row), [entry])
    return row.messageid
  }

  const isShown = ({ shownAt }: Entry) => shownAt <= now()

  const world = {
    sent,
    channels: () => channels,
    hasChannel: (platform: string, platformid: string) => channels.some(c => c.platform === platform && c.platformid === platformid),
    hasChat: (address: Address) => world.messages(address).length > 0,
    /** What the conversation lists, the oldest first. */
    messages: (address: Address) => (chats.get(key(address)) ?? []).filter(isShown).map(({ row }) => row),
    unread: (address: Address) => world.messages(address).filter(message => message.status === 'unread'),
    /** Every message that there is, those included that no list shows yet. */
    all: () => [...chats.values()].flatMap(chat => chat.map(({ row }) => row)),
    addresses: () => [...chats.values()].flatMap(chat => chat.slice(0, 1).map(({ row }) => row as Address)),

    /** The last message of each conversation of a channel, the most recent last. */
    chats: (platform: string, platformid: string) =>
      [...chats.values()]
        .flatMap(chat => chat.findLast(isShown)?.row ?? [])
        .filter(last => last.platform === platform && last.platformid === platformid)
        .sort((a, b) => Number(a.messageid) - Number(b.messageid)),

    markRead: (address: Address) => {
      for (const message of world.unread(address)) message.status = 'read'
    },

    take: (send: Omit<Sent, 'messageid' | 'at'>) => {
      const at = now()
      const text = [send.message, send.fileurl].filter(Boolean).join(' ')
      const messageid = write(send, text, { sent: true, status: 'sent', lateMs: lateMs() }, at)
      const taken = { ...send, messageid, at: new Date(at).toISOString() }
      sent.push(taken)
      onTaken(taken)
    },

    /** A customer writes in, or somebody answers from elsewhere; `undefined` when there is no such channel. */
    receive: ({ message, sent = false, status = sent ? 'sent' : 'unread', ...more }: Written) => {
      if (!world.hasChannel(more.platform, more.platformid)) return undefined
      return write(more, message, { lateMs: lateMs(), ...more, sent, status }, now())
    },

    /** The message takes another status, if it has the one that is expected; `false` when there is no such message. */
    mark: (address: Address, messageid: string, status: string, expected?: string) => {
      const row = chats.get(key(address))?.find(entry => entry.row.messageid === messageid)?.row
      if (row && (expected === undefined || row.status === expected)) row.status = status
      return row !== undefined
    },

    /** Afilnet forgets the conversation, or one message of it. */
    remove: (address: Address, messageid?: string) => {
      const left = (chats.get(key(address)) ?? []).filter(({ row }) => messageid !== undefined && row.messageid !== messageid)
      if (left.length > 0) chats.set(key(address), left)
      else chats.delete(key(address))
    },

    /** Fills a channel; the customers' numbers begin with 347. */
    fill: ({ platform, platformid, conversations, messages = 1 }: Bulk) => {
      if (!world.hasChannel(platform, platformid)) return false
      for (let n = 0; n < conversations; n++) {
        const address = { platform, platformid, destination: String(34_700_000_000 + lastBulk++) }
        for (let m = 1; m <= messages; m++) write(address, `Message ${m}`, { sent: false, status: 'read' }, now() - 60_000)
      }
      return true
    },

    addChannel: (channel: Channel) => void channels.push(channel),

    removeChannel: (platform: string, platformid: string) => {
      const at = channels.findIndex(channel => channel.platform === platform && channel.platformid === platformid)
      if (at >= 0) channels.splice(at, 1)
    },

    reset: () => {
      chats.clear()
      channels.splice(0, Number.POSITIVE_INFINITY, ...firstChannels)
      sent.length = 0
      lastId = 1000
      lastBulk = 0
      for (const [platform, platformid, destination, minutesAgo, status, text] of seeds) {
        write({ platform, platformid, destination }, text, { sent: status === 'sent', status }, now() - minutesAgo * 60_000)
      }
    },
  }
  world.reset()
  return world
}
