import type { components, GatewayEvent } from '../../../client/src/client.ts'

export type Message = components['schemas']['Message']
export type Event = GatewayEvent
export type Conversation = {
  platform: string
  platformId: string
  destination: string
  channel: string
  last: Message
  /** Messages that came while another conversation was open. */
  unread: number
}

/** The name of a conversation, in this page and in its address. */
export const keyOf = ({ platform, platformId, destination }: Pick<Conversation, 'platform' | 'platformId' | 'destination'>) =>
  [platform, platformId, destination].map(encodeURIComponent).join('/')

/** All conversations, the most active first. */
export function createConversations(onChange: () => void) {
  const all = new Map<string, Conversation>()
  const channels = new Map<string, string>()

  return {
    get: (key: string) => all.get(key),
    sorted: () => [...all.values()].sort((a, b) => (b.last.datetime ?? '').localeCompare(a.last.datetime ?? '')),

    /** Reads the whole list again, and keeps what an event brought meanwhile. */
    async load() {
      const before = new Map(all)
      const response = await fetch('/api/conversations', { signal: AbortSignal.timeout(60_000) })
      if (!response.ok) throw new Error(((await response.json().catch(() => ({}))) as { code?: string }).code ?? `HTTP ${response.status}`)
      const { items, unlisted } = (await response.json()) as { items: Omit<Conversation, 'unread'>[]; unlisted: string[] } // as ../server/lists.ts makes it
      for (const item of items) {
        channels.set(`${item.platform}/${item.platformId}`, item.channel)
        const key = keyOf(item)
        const known = all.get(key)
        const isNews = known !== before.get(key) && (known?.last.datetime ?? '') >= (item.last.datetime ?? '')
        all.set(key, { ...item, unread: known?.unread ?? 0, ...(known && isNews && { last: known.last }) })
      }
      const isListed = ({ platform, platformId }: Conversation) => !unlisted.includes(`${platform}/${platformId}`)
      for (const [key, gone] of before) if (all.get(key) === gone && isListed(gone)) all.delete(key)
      onChange()
    },

    /** A new message moves its conversation up. */
    apply({ type, platform, platformId, destination, message, direction }: Event, openKey: string | undefined) {
      if (type !== 'message.created' || !message || platform === null || platformId === null || destination === null) return
      const chat = { platform, platformId, destination }
      const known = all.get(keyOf(chat))
      if (known && (known.last.datetime ?? '') > (message.datetime ?? '')) return // it came late
      const unread = (known?.unread ?? 0) + (direction === 'in' && keyOf(chat) !== openKey ? 1 : 0)
      all.set(keyOf(chat), { ...chat, channel: channels.get(`${platform}/${platformId}`) ?? '', last: message, unread })
      onChange()
    },

    read(key: string) {
      const conversation = all.get(key)
      if (conversation) all.set(key, { ...conversation, unread: 0 })
      onChange()
    },
  }
}
