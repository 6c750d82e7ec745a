import type { Chat } from '../access.ts'
import type { EventLog } from '../store/event-log.ts'
import { within } from '../store/store.ts'
import type { Channel } from './ports.ts'
import { readMark } from './state-text.ts'

/** What is known of a channel since its baseline. */
export type ChannelState = {
  /** The newest datetime of the baseline; null if it had no row. */
  newest: string | null
  /** When it was last read, within an hour. */
  readAt: number
  /** A gap tells that it has been unreadable for too long. */
  hasGap?: true
}

export const channelKey = ({ platform, platformId }: Channel) => JSON.stringify([platform, platformId])
export const chatKey = ({ platform, platformId, destination }: Chat) => JSON.stringify([platform, platformId, destination])

/** What the store knows of a channel: its state, and the mark of each conversation. */
export type Known = { channel?: ChannelState; marks: Map<string, string> }

/** Reads what the last poller knew, by the keys of channels; of conversations only the marks, because there may be many. */
export async function readKnown(log: EventLog, account: string, timeoutMs: number): Promise<Map<string, Known>> {
  const channels = new Map<string, Known>()
  for (let after: string | undefined; ; ) {
    const page = await within(timeoutMs, log.states(account, after))
    for (const { key, state } of page.states) {
      const [platform = '', platformId = '', destination] = JSON.parse(key) as string[]
      const channel = channelKey({ platform, platformId })
      const known: Known = channels.get(channel) ?? { marks: new Map() }
      channels.set(channel, known)
      if (destination === undefined) known.channel = JSON.parse(state) as ChannelState
      else known.marks.set(destination, readMark(state))
    }
    if (page.next === undefined) return channels
    after = page.next
  }
}
