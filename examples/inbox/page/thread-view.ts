import type { Chat } from '../../../client/src/client.ts'
import { byId, make } from './dom.ts'
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
    estimate: 60,
    fromEnd: true,
    render,
    onTop: () => void thread?.loadOlder(),
  })

  function render({ message, outgoing }: Line) {
    const isOut = outgoing !== undefined || message?.direction === 'out'
    const bubble = make('div', { className: 'bubble' }, ...contentOf(message?.message ?? '', outgoing))
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

function contentOf(text: string, outgoing: Outgoing | undefined): (Node | undefined)[] {
  const file = outgoing?.file
  const caption = text || outgoing?.text
  const shownText = caption ? make('p', { textContent: caption }) : undefined
  if (!file) return [shownText]
  if (!file.type.startsWith('image/')) return [make('p', { textContent: `📄 ${file.name}` }), shownText]
  const src = pictures.get(file) ?? URL.createObjectURL(file)
  pictures.set(file, src)
  return [make('img', { src, alt: file.name }), shownText]
}
