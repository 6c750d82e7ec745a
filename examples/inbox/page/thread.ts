import { type Chat, GatewayProblem } from '../../../client/src/client.ts'
import type { Event, Message } from './conversations.ts'
import { gatewayFor } from './gateway.ts'
import { fileIn } from './media-links.ts'
import { createOutbox, type Outgoing } from './outbox.ts'

/** A line of the conversation: a message as Afilnet lists it, or one that this page sends and Afilnet does not list yet. */
export type Line = { id: string; message?: Message; outgoing?: Outgoing }

/** One open conversation: its messages page by page, what happens in it, and what this page sends. */
export function createThread(chat: Chat, onChange: () => void, onArrival: (message: Message) => void) {
  const gateway = gatewayFor(chat)
  const closed = new AbortController()
  let messages: Message[] = []
  let older: string | undefined
  let loading = false
  const outbox = createOutbox(chat, gateway, onChange)

  const query = async (params: { limit: number; before?: string }) =>
    (await gateway()).get('/chats/{platform}/{platformId}/{destination}/messages', { params: { path: chat, query: params } })

  /** Reads the newest messages. What was read before them stays, if they follow it without a hole, and what an event brought meanwhile. */
  async function load() {
    const before = messages
    const { items, previousCursor } = await query({ limit: 50 })
    const listed = new Set(items.map(({ messageId }) => messageId))
    const newest = items.at(-1)?.datetime ?? ''
    const since = messages.filter(one => !before.includes(one) && !listed.has(one.messageId) && (one.datetime ?? '') >= newest)
    const first = items[0]?.messageId ?? undefined
    const at = messages.findIndex(({ messageId }) => messageId === first)
    if (at < 0) older = previousCursor
    messages = [...messages.slice(0, Math.max(at, 0)), ...items, ...since]
    onChange()
  }

  async function loadOlder() {
    const before = older
    if (before === undefined || loading) return
    loading = true
    await persist(async () => {
      const { items, previousCursor } = await query({ limit: 200, before })
      // An event may have brought one of them already, and put it where its datetime alone allows.
      const listed = new Set(items.map(({ messageId }) => messageId))
      messages = [...items, ...messages.filter(({ messageId }) => messageId === null || !listed.has(messageId))]
      older = previousCursor
      onChange()
    })
    loading = false
  }

  function apply({ type, message, messageId, direction, send }: Event) {
    if (type === 'gap') return void persist(load)
    if (type === 'send.updated' && send) return outbox.learn(send)
    if (!message) return
    const at = messages.findIndex(known => known.messageId !== null && known.messageId === messageId)
    if (at >= 0) messages = messages.with(at, message)
    else if (type === 'message.created') {
      messages = [...messages, message].sort((a, b) => (a.datetime ?? '').localeCompare(b.datetime ?? ''))
      if (direction === 'in') onArrival(message)
    }
    onChange()
  }

  async function follow() {
    const client = await gateway()
    const onConnection = (problem?: GatewayProblem) => {
      if (problem) return
      outbox.resume()
      void persist(load) // what came before the stream began is not in it
    }
    for await (const event of client.events({ ...chat, signal: closed.signal, onConnection })) apply(event)
  }

  /** Tries until it works: the gateway may be away for a while. */
  async function persist(task: () => Promise<unknown>): Promise<void> {
    while (!closed.signal.aborted) {
      try {
        await task()
        return
      } catch (error) {
        if (error instanceof GatewayProblem && error.retry === 'no') return
        await new Promise(resolve => setTimeout(resolve, 2_000))
      }
    }
  }
  void persist(load)
  void persist(follow)

  return {
    chat,
    outbox,
    loadOlder,
    lines: () => linesOf(messages, outbox.all),
    send: (text: string, file?: File) => outbox.add(text, file, new Set(messages.map(({ messageId }) => messageId))),
    close: () => closed.abort(),
  }
}

/** Afilnet's rows, then what it does not list yet. A row shows a send if the gateway tied them, or if it is new and has the text or the file of an accepted one. */
function linesOf(messages: Message[], outgoing: Outgoing[]): Line[] {
  const open = [...outgoing]
  const lines = messages.map((message, index): Line => {
    const line = { id: message.messageId ?? `${message.datetime} ${index}`, message }
    const at = message.direction === 'in' ? -1 : open.findIndex(sent => isRowOf(sent, message))
    const [tied] = at >= 0 ? open.splice(at, 1) : []
    return tied ? { ...line, id: tied.key, outgoing: tied } : line
  })
  return [...lines, ...open.map(sent => ({ id: sent.key, outgoing: sent }))]
}

function isRowOf({ state, text, file, before, send }: Outgoing, { messageId, message }: Message) {
  if (send?.messageId !== undefined) return send.messageId === messageId
  const isSame = file ? fileIn(message ?? '')?.name === file.name : text === message
  return state === 'accepted' && isSame && !before.has(messageId)
}
