import { type Conversation, keyOf } from './conversations.ts'
import { byId, isComposing, make } from './dom.ts'
import { preview } from './media-links.ts'
import { shortTime } from './times.ts'
import { createVirtualList } from './virtual-list.ts'

/** How long after the pointer is released a click can still come: a touch may first turn out to be a double tap. */
const clickMs = 400

/** The list on the left: a list box that keys move through and Enter opens. */
export function createConversationList(onOpen: (key: string) => void) {
  const box = byId('conversations')
  const search = byId<HTMLInputElement>('search')
  let all: Conversation[] = []
  let shown: Conversation[] = []
  let active: string | undefined
  let open: string | undefined
  let isPressed = false
  let waiting: number | undefined

  const list = createVirtualList<Conversation>(box, { keyOf, lookOf, estimate: 68, render })

  function lookOf(conversation: Conversation) {
    const key = keyOf(conversation)
    return JSON.stringify([conversation, key === open, key === active])
  }

  function render(conversation: Conversation) {
    const { destination, channel, last, unread } = conversation
    const key = keyOf(conversation)
    const option = make(
      'div',
      { className: 'conversation', id: `c/${key}` },
      make('span', { className: 'name', dir: 'auto', textContent: destination }),
      make('time', { textContent: shortTime(last.datetime) }),
      make('span', { className: 'text', dir: 'auto' }, ...textOf(last)),
      unread > 0 ? make('span', { className: 'unread', textContent: String(unread), ariaLabel: `${unread} new`, role: 'img' }) : undefined,
      make('span', { className: 'channel', textContent: channel }),
    )
    option.role = 'option'
    option.ariaSelected = String(key === open)
    option.classList.toggle('active', key === active)
    option.addEventListener('click', () => onOpen(key))
    return option
  }

  function draw() {
    if (isPressed) return
    const words = search.value.trim().toLowerCase()
    const fits = ({ destination, channel, last }: Conversation) => `${destination} ${channel} ${last.message}`.toLowerCase().includes(words)
    shown = words === '' ? all : all.filter(fits)
    list.show(shown)
    if (active !== undefined && document.getElementById(`c/${active}`)) box.setAttribute('aria-activedescendant', `c/${active}`)
    else box.removeAttribute('aria-activedescendant')
  }

  /** While a row is pressed, the list stays as it is: a message must not bring another one under the pointer before the click. */
  function press({ button }: PointerEvent) {
    if (button !== 0) return letGo()
    clearTimeout(waiting)
    isPressed = true
  }

  function letGo() {
    clearTimeout(waiting)
    if (!isPressed) return
    isPressed = false
    draw()
  }

  function move(to: number) {
    const next = shown[Math.max(0, Math.min(to, shown.length - 1))]
    if (!next) return
    active = keyOf(next)
    list.scrollTo(shown.indexOf(next))
    draw()
  }

  box.addEventListener('keydown', event => {
    const at = shown.findIndex(conversation => keyOf(conversation) === active)
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: shown.length - 1,
      PageDown: at + 8,
      PageUp: at - 8,
    }
    const step = steps[event.key]
    if (step !== undefined) move(step)
    else if (event.key === 'Enter' && active !== undefined) onOpen(active)
    else return
    event.preventDefault()
  })
  box.addEventListener('focus', () => {
    if (active === undefined && box.matches(':focus-visible')) move(0) // a press of the mouse goes to what it hit
  })
  box.addEventListener('pointerdown', press)
  addEventListener('pointerup', () => {
    clearTimeout(waiting)
    if (isPressed) waiting = setTimeout(letGo, clickMs) // it may not end as a click
  })
  addEventListener('pointercancel', letGo)
  addEventListener('click', letGo)
  search.addEventListener('input', draw)
  search.addEventListener('keydown', event => {
    if (event.key === 'ArrowDown') box.focus()
    if (event.key !== 'Escape' || search.value === '' || isComposing(event)) return
    event.stopPropagation() // it ends the search, and not the conversation
    search.value = ''
    draw()
  })

  return {
    show(conversations: Conversation[], openKey: string | undefined) {
      all = conversations
      if (open !== openKey) active = openKey ?? active
      open = openKey
      draw()
    },
    focus: () => box.focus(),
  }
}

/** The last message in one line. What is written from right to left must not turn the words before it. */
const textOf = ({ direction, message }: Conversation['last']) =>
  direction === 'out' ? ['You: ', make('bdi', { textContent: preview(message ?? '') })] : [message ?? '']
