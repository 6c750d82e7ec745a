// What the stub shows of channels that the gateway watches for events. Messages come with time, so that nothing has to be told to it.

/** Channels by their `platformid`. */
export const channels = {
  /** 100 conversations each, of which one gets a message every 100 ms: 100 a second over all of them. */
  busy: Array.from({ length: 10 }, (_, i) => `20${i}`),
  /** 10,000 conversations, and never a new message. */
  quiet: '300',
  /** The same, but the first of them gets a message each second. */
  almostQuiet: '301',
  /** Empty until `/begin`; then 250 conversations of 20 messages each. */
  sudden: '400',
} as const

export const suddenEvents = 250 * 20

const busyMs = 10_000
const listed = 20
let begun = 0

type Chat = { channel: string; index: number }

const destinationOf = ({ channel, index }: Chat) => `3450${channel}${String(index).padStart(5, '0')}`

/** The conversation of a destination; `undefined` if it is none of these channels'. */
export function chatOf(destination: string): Chat | undefined {
  const [, channel = '', index] = /^3450(\d{3})(\d{5})$/.exec(destination) ?? []
  return index === undefined ? undefined : { channel, index: Number(index) }
}

/** The number of a conversation's last message by now, and when it came. */
function lastOf({ channel, index }: Chat, now: number): { last: number; at: (number: number) => number } {
  if (channel === channels.sudden) return { last: listed - 1, at: number => begun + 1_000 * (number - listed) }
  const isBusy = channel !== channels.quiet && (channel !== channels.almostQuiet || index === 0)
  if (!isBusy) return { last: listed, at: number => 1_700_000_000_000 + 1_000 * number }
  const everyMs = channel === channels.almostQuiet ? 1_000 : busyMs
  const afterMs = channel === channels.almostQuiet ? 0 : (busyMs / 100) * index
  return { last: Math.floor((now - afterMs) / everyMs), at: number => number * everyMs + afterMs }
}

function rowOf(chat: Chat, number: number, at: number) {
  return {
    platformid: chat.channel,
    platform: 'whatsapp',
    message: `Is my order ${number} on its way? I made it on Monday, and was told that it takes two days`,
    destination: destinationOf(chat),
    messageid: `${chat.channel}${String(chat.index).padStart(5, '0')}${number}`,
    sent: '0',
    status: 'READ',
    datetime: new Date(at).toISOString().slice(0, 19).replace('T', ' '),
  }
}

const success = (list: unknown[]) => JSON.stringify({ status: 'SUCCESS', result: { list } })

/** The answer to getmessages: the newest messages, the last one at the end. */
export function messagesOf(chat: Chat): string {
  const { last, at } = lastOf(chat, Date.now())
  return success(
    Array.from({ length: Math.min(listed, last + 1) }, (_, i) => last - i)
      .toReversed()
      .map(n => rowOf(chat, n, at(n))),
  )
}

const sizes: Record<string, number> = { [channels.quiet]: 10_000, [channels.almostQuiet]: 10_000, [channels.sudden]: 250 }
const unchanged = new Map<string, string>()

/** The answer to getchats: the last message of each conversation. */
export function chatsOf(channel: string): string {
  if (channel === channels.sudden && begun === 0) return success([])
  const row = (index: number) => {
    const { last, at } = lastOf({ channel, index }, Date.now())
    return rowOf({ channel, index }, last, at(last))
  }
  const size = sizes[channel] ?? 100
  if (size < 10_000) return success(Array.from({ length: size }, (_, i) => row(i)))
  const rest = unchanged.get(channel) ?? JSON.stringify(Array.from({ length: size - 1 }, (_, i) => row(i + 1))).slice(1)
  unchanged.set(channel, rest)
  return `{"status":"SUCCESS","result":{"list":[${JSON.stringify(row(0))},${rest}}}`
}

/** The sudden channel has its messages from now on. */
export function begin() {
  begun = Date.now()
}

/** The sudden channel is empty again. */
export function end() {
  begun = 0
}
