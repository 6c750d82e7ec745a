import { type Chat, type Client, GatewayProblem } from '../../../client/src/client.ts'
import type { Event, Message } from './conversations.ts'
import { fileIn } from './media-links.ts'
import type { createOutbox, Outgoing } from './outbox.ts'
import { persistent } from './persistent.ts'

/** A line of the conversation: a message as Afilnet lists it, or one that this page sends and Afilnet does not list yet. */
export type Line = { id: string; message?: Message; outgoing?: Outgoing }

type Options = {
  gateway: () => Promise<Client>
  outbox: ReturnType<typeof createOutbox>
  onChange: () => void
  onArrival: (message: Message) => void
  /** Why the conversation cannot be read, or `undefined` once it can. */
  onState: (problem: string | undefined) => void
}

/** One open conversation: its messages page by page, what happens in it, and what this page sends. */
export function createThread(chat: Chat, { gateway, outbox, onChange, onArrival, onState }: Options) {
  const closed = new AbortController()
  let messages: Message[] = []
  const heard = new Set<string>()
  let older: string | undefined
  let loading = false

  const query = async (params: { limit: number; before?: string }) =>
    (await gateway()).get('/chats/{platform}/{platformId}/{destination}/messages', {
      params: { path: chat, query: params },
      signal: AbortSignal.any([closed.signal, AbortSignal.timeout(60_000)]),
    })

  /** Reads the newest messages. What was read before them stays, if they follow it without a hole, and what an event brought meanwhile. */
  async function read() {
    const before = messages
    const { items, previousCursor } = await query({ limit: 50 })
    const listed = new Set(items.map(idOf))
    const newest = items.at(-1)?.datetime ?? ''
    const since = messages.filter(one => !before.includes(one) && !listed.has(idOf(one)) && (one.datetime ?? '') >= newest)
    const first = items[0] && idOf(items[0])
    const at = messages.findIndex(one => idOf(one) === first)
    if (at < 0) older = previousCursor
    messages = [...messages.slice(0, Math.max(at, 0)), ...items]
    if (since.some(mayBeOlder)) void load()
    else messages = [...messages, ...since]
    onChange()
  }

  async function readOlder() {
    const before = older
    if (before === undefined) return
    const { items, previousCursor } = await query({ limit: 200, before })
    // An event may have brought one of them already, and put it where its datetime alone allows.
    const listed = new Set(items.map(idOf))
    messages = [...items, ...messages.filter(one => !listed.has(idOf(one)))]
    older = previousCursor
    onChange()
  }

  function apply({ type, message, direction, send }: Event) {
    if (type === 'gap') return void load()
    if (type === 'send.updated' && send) return outbox.learn(send)
    if (!message) return
    if (type === 'message.created' && direction === 'in' && !heard.has(idOf(message))) {
      heard.add(idOf(message)) // an event can come twice, and after a list that has its message
      onArrival(message)
    }
    const at = messages.findIndex(known => idOf(known) === idOf(message))
    if (at >= 0) messages = messages.with(at, message)
    else if (type === 'message.created') {
      if (mayBeOlder(message)) return void load()
      messages = [...messages, message].sort((a, b) => (a.datetime ?? '').localeCompare(b.datetime ?? ''))
    }
    onChange()
  }

  /** Whether a message may be on a page that is not read yet. Of a burst in one second, only the list knows the order. */
  const mayBeOlder = ({ datetime }: Message) => older !== undefined && (datetime ?? '') <= (messages[0]?.datetime ?? '')

  async function follow() {
    const client = await gateway()
    const onConnection = (problem?: GatewayProblem) => {
      if (problem) return
      outbox.resume()
      void load() // what came before the stream began is not in it
    }
    for await (const event of client.events({ ...chat, signal: closed.signal, onConnection })) apply(event)
  }

  const onOutcome = (error: unknown) =>
    onState(error === undefined ? undefined : error instanceof GatewayProblem ? error.code : 'no answer')
  const attended = { onOutcome, signal: closed.signal }
  const load = persistent(read, attended)
  const loadOlder = persistent(readOlder, attended)
  void load()
  void persistent(follow, attended)()

  return {
    chat,
    outbox,
    async loadOlder() {
      if (loading) return
      loading = true
      await loadOlder()
      loading = false
    },
    lines: () => linesOf(messages, outbox.all),
    send: (text: string, file?: File) => outbox.add(text, file, new Set(messages.map(idOf))),
    close: () => closed.abort(),
  }
}

/** What a row is known by. Without an id, rows that say the same at the same time are one. */
const idOf = ({ messageId, datetime, direction, message }: Message) => messageId ?? JSON.stringify([datetime, direction, message])

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

function isRowOf({ state, text, file, before, send }: Outgoing, row: Message) {
  const { messageId, message } = row
  if (send?.messageId !== undefined && messageId !== null) return send.messageId === messageId
  const listed = fileIn(message ?? '')
  const isSame = file ? listed !== undefined && lettersOf(listed.name) === lettersOf(file.name) : text === message
  return state === 'accepted' && isSame && !before.has(idOf(row))
}

/** What the gateway leaves of every name: it drops other characters, and the end of a long one. */
const lettersOf = (name: string) =>
  name
    .normalize()
    .replace(/[^\p{L}\p{N}]/gu, '')
    .slice(0, 40)
