import type { Chat } from '../../../client/src/client.ts'
import { byId, make } from './dom.ts'
import { type FileLink, fileIn } from './media-links.ts'
import type { Outgoing } from './outbox.ts'
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
export function createThreadView() {
  const scroller = byId('messages')
  let thread: ReturnType<typeof createThread> | undefined
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

  const draw = () => list.show(thread?.lines() ?? [])

  return {
    open(chat: Chat, channel: string) {
      thread?.close()
      byId('who').textContent = chat.destination
      byId('where').textContent = `${channel} · ${chat.platform}`
      byId('announcer').textContent = ''
      thread = createThread(chat, draw, ({ message }) => {
        byId('announcer').textContent = `${chat.destination}: ${message ?? 'a message without text'}`
      })
      draw()
      list.toEnd()
    },
    close() {
      thread?.close()
      thread = undefined
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
  if (!file.type.startsWith('image/')) return make('p', { textContent: `📄 ${file.name}` })
  const src = pictures.get(file) ?? URL.createObjectURL(file)
  pictures.set(file, src)
  return make('img', { src, alt: file.name })
}

function keptFile({ url, name, isPicture }: FileLink): Node {
  const content = isPicture ? make('img', { src: url, alt: name }) : `📄 ${name}`
  return make('a', { href: url, target: '_blank', rel: 'noreferrer' }, content)
}
