import type { Chat } from '../../../client/src/client.ts'
import { keyOf, type Message } from './conversations.ts'
import { byId, make } from './dom.ts'
import { gatewayFor } from './gateway.ts'
import { type FileLink, fileIn, shownName } from './media-links.ts'
import { createOutbox, type Outgoing } from './outbox.ts'
import { createThread, type Line } from './thread.ts'
import { shortTime } from './times.ts'
import { createVirtualList } from './virtual-list.ts'

const words: Record<Outgoing['state'], string> = {
  sending: 'Sending…',
  waiting: 'Waiting for the connection',
  accepted: 'Sent',
  rejected: 'Not sent: refused',
  not_sent: 'Not sent',
  unknown: 'Perhaps sent',
}

/** The open conversation on the right. */
export function createThreadView(onState: (problem: string | undefined) => void) {
  const scroller = byId('messages')
  let thread: ReturnType<typeof createThread> | undefined
  let arrived: string[] = []
  /** They outlive the view of their conversation: a message that was refused meanwhile must not look sent. */
  const kept = new Map<string, { gateway: ReturnType<typeof gatewayFor>; outbox: ReturnType<typeof createOutbox> }>()
  const list = createVirtualList<Line>(scroller, {
    keyOf: ({ id }) => id,
    lookOf: line => JSON.stringify(line),
    estimate: 60,
    fromEnd: true,
    render,
    onTop: () => void thread?.loadOlder(),
  })

  function render({ message, outgoing }: Line) {
    const isOut = outgoing !== undefined || message?.direction === 'out'
    const bubble = make('div', { className: 'bubble' }, ...contentOf(message?.message ?? '', outgoing, isOut))
    bubble.append(
      make('footer', {}, make('time', { textContent: shortTime(message?.datetime) }), ' ', ...stateOf(message?.status, outgoing, isOut)),
    )
    const line = make(
      'div',
      { className: isOut ? 'line out' : 'line in' },
      make('span', { className: 'hidden', textContent: isOut ? 'You: ' : 'They: ' }),
      bubble,
    )
    line.role = 'listitem'
    return line
  }

  function stateOf(status: string | null | undefined, outgoing: Outgoing | undefined, isOut: boolean): (Node | string)[] {
    const delivery = outgoing?.send?.delivery?.status ?? (outgoing?.state === 'accepted' || !outgoing ? status : undefined)
    if (!outgoing) return isOut && delivery ? [make('span', { textContent: delivery.toLowerCase() })] : []
    const text = delivery ? `${words.accepted}, ${delivery.toLowerCase()}` : words[outgoing.state]
    const state = make('span', { className: `state ${outgoing.state}`, textContent: text, title: outgoing.reason ?? '' })
    const why = outgoing.reason && outgoing.state !== 'accepted' ? ` (${outgoing.reason})` : ''
    if (outgoing.state !== 'unknown') return [state, why]
    const again = make('button', { type: 'button', textContent: 'Check again' })
    again.addEventListener('click', () => void thread?.outbox.checkAgain(outgoing))
    return [state, why, ' ', again]
  }

  function sendingIn(chat: Chat) {
    const known = kept.get(keyOf(chat))
    known?.outbox.forgetAccepted()
    if (known) return known
    const gateway = gatewayFor(chat)
    const made = { gateway, outbox: createOutbox(chat, gateway, changed => onSending(chat, changed)) }
    kept.set(keyOf(chat), made)
    return made
  }

  function onSending({ destination }: Chat, { state, reason = '' }: Outgoing) {
    draw()
    if (['rejected', 'not_sent', 'unknown'].includes(state)) byId('announcer').textContent = `${destination}: ${words[state]} ${reason}`
  }

  /** Announces a burst of messages in one sentence: a screen reader would read each of them. */
  function announce({ message }: Message) {
    if (arrived.push(message?.slice(0, 300) ?? 'a message without text') > 1) return
    setTimeout(() => {
      const count = arrived.length > 1 ? `${arrived.length} messages, the last one: ` : ''
      if (thread && arrived.length > 0) byId('announcer').textContent = `${thread.chat.destination}: ${count}${arrived.at(-1)}`
      arrived = []
    }, 500)
  }

  const draw = () => list.show(thread?.lines() ?? [])

  return {
    open(chat: Chat) {
      thread?.close()
      onState(undefined)
      byId('who').textContent = chat.destination
      byId('announcer').textContent = ''
      arrived = []
      thread = createThread(chat, { ...sendingIn(chat), onState, onChange: draw, onArrival: announce })
      draw()
      list.toEnd()
    },
    setChannel(name: string) {
      byId('where').textContent = [name, thread?.chat.platform].filter(Boolean).join(' · ')
    },
    close() {
      thread?.close()
      thread = undefined
      arrived = []
      onState(undefined)
      draw()
    },
    send(text: string, file?: File) {
      void thread?.send(text, file)
      list.toEnd()
    },
  }
}

const pictures = new WeakMap<File, string>()

/** A text; or a file with its text, from this page or, of what was sent before, from the gateway. Links of customers stay text. */
function contentOf(text: string, outgoing: Outgoing | undefined, isOut: boolean): (Node | undefined)[] {
  const file = outgoing?.file
  const kept = isOut ? fileIn(text) : undefined
  const caption = file ? outgoing.text : kept ? kept.caption : text || outgoing?.text
  return [file ? ownFile(file) : kept && keptFile(kept), caption ? make('p', { dir: 'auto', textContent: caption }) : undefined]
}

function ownFile(file: File): Node {
  if (!file.type.startsWith('image/')) return make('p', { textContent: `📄 ${shownName(file.name)}` })
  const src = pictures.get(file) ?? URL.createObjectURL(file)
  pictures.set(file, src)
  return make('img', { src, alt: shownName(file.name) })
}

function keptFile({ url, name, isPicture }: FileLink): Node {
  const content = isPicture ? make('img', { src: url, alt: name }) : `📄 ${name}`
  return make('a', { href: url, target: '_blank', rel: 'noreferrer' }, content)
}
