/** One conversation's address, in Afilnet's words. */
export type Address = { platform: string; platformid: string; destination: string }

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

export type World = ReturnType<typeof createWorld>

const channels = [
  { platformid: '10', platform: 'webchat', name: 'Website' },
  { platformid: '100', platform: 'whatsapp', name: 'WhatsApp support' },
  { platformid: '200', platform: 'telegram', name: 'Telegram bot' },
  { platformid: '300', platform: 'operator', name: 'Operators' },
]

type Seed = [
  platform: string,
  platformid: string,
  destination: string,
  minutesAgo: number,
  status: 'sent' | 'read' | 'unread',
  text: string,
]
const seeds: Seed[] = [
  ['operator', '300', 'ana', 300, 'read', 'I take the afternoon shift'],
  ['operator', '300', 'ana', 290, 'sent', 'Thank you, Ana'],
  ['telegram', '200', '700100200', 180, 'read', '/start'],
  ['telegram', '200', '700100200', 179, 'sent', 'Welcome! Ask us anything.'],
  ['whatsapp', '100', '34600000001', 95, 'sent', 'Your parcel is on its way'],
  ['whatsapp', '100', '34600000001', 90, 'read', 'Great 👍'],
  ['webchat', '10', 'visitor-7f3a', 40, 'read', 'Hello, is anybody there?'],
  ['webchat', '10', 'visitor-7f3a', 39, 'sent', 'Hello! How can we help?'],
  ['webchat', '10', 'visitor-7f3a', 12, 'unread', 'Do you ship to the Canary Islands?'],
  ['whatsapp', '100', '34600000000', 30, 'sent', 'Good morning, your order 1043 is ready'],
  ['whatsapp', '100', '34600000000', 8, 'unread', '¿Hasta qué hora abren hoy?'],
  ['whatsapp', '100', '34600000000', 7, 'unread', 'I can come at seven'],
]

const key = ({ platform, platformid, destination }: Address) => JSON.stringify([platform, platformid, destination])

/** Channels, conversations and messages, as Afilnet would hold them; time only passes through `now`. */
export function createWorld(now: () => number, onTaken: (sent: Sent) => void = () => {}) {
  const chats = new Map<string, Message[]>()
  const sent: Sent[] = []
  let lastId = 1000

  const write = ({ platform, platformid, destination }: Address, message: string, status: string, at: number) => {
    const datetime = new Date(at).toISOString().slice(0, 19).replace('T', ' ')
    const messageid = String(++lastId)
    const row = { platformid, platform, message, destination, messageid, sent: status === 'sent', status, datetime }
    const chat = chats.get(key(row))
    if (chat) chat.push(row)
    else chats.set(key(row), [row])
    return messageid
  }

  const world = {
    sent,
    channels: () => channels,
    hasChannel: (platform: string, platformid: string) => channels.some(c => c.platform === platform && c.platformid === platformid),
    hasChat: (address: Address) => chats.has(key(address)),
    messages: (address: Address) => chats.get(key(address)) ?? [],
    unread: (address: Address) => world.messages(address).filter(message => message.status === 'unread'),

    /** The last message of each conversation of a channel, the most recent first. */
    chats: (platform: string, platformid: string) =>
      [...chats.values()]
        .flatMap(chat => chat.slice(-1))
        .filter(last => last.platform === platform && last.platformid === platformid)
        .sort((a, b) => Number(b.messageid) - Number(a.messageid)),

    markRead: (address: Address) => {
      for (const message of world.unread(address)) message.status = 'read'
    },

    take: (send: Omit<Sent, 'messageid' | 'at'>) => {
      const at = now()
      const text = [send.message, send.fileurl].filter(Boolean).join(' ')
      const taken = { ...send, messageid: write(send, text, 'sent', at), at: new Date(at).toISOString() }
      sent.push(taken)
      onTaken(taken)
    },

    /** A customer writes in; `false` when there is no such channel. */
    receive: (message: Address & { message: string }) => {
      if (!world.hasChannel(message.platform, message.platformid)) return false
      write(message, message.message, 'unread', now())
      return true
    },

    reset: () => {
      chats.clear()
      sent.length = 0
      lastId = 1000
      const oldestFirst = seeds.toSorted((a, b) => b[3] - a[3])
      for (const [platform, platformid, destination, minutesAgo, status, text] of oldestFirst) {
        write({ platform, platformid, destination }, text, status, now() - minutesAgo * 60_000)
      }
    },
  }
  world.reset()
  return world
}
