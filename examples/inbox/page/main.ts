import { listenToAccount } from './account-events.ts'
import { createComposer } from './composer.ts'
import { createConversationList } from './conversation-list.ts'
import { createConversations } from './conversations.ts'
import { decode } from './decode.ts'
import { byId, isComposing } from './dom.ts'
import { persistent } from './persistent.ts'
import { createThreadView } from './thread-view.ts'

// The address says which conversation is open, so that reload, back and forward work.
let openKey: string | undefined
const conversations = createConversations(() => {
  list.show(conversations.sorted(), openKey)
  if (openKey !== undefined) thread.setChannel(conversations.get(openKey)?.channel ?? '')
})
const list = createConversationList(key => {
  location.hash = key
})
const thread = createThreadView(reading => showState({ reading }))
const composer = createComposer(thread.send)

function openFromAddress() {
  const key = location.hash.slice(1)
  if (key === (openKey ?? '')) return
  const [platform = '', platformId = '', destination = ''] = key.split('/').map(decode)
  openKey = destination === '' ? undefined : key
  document.body.classList.toggle('reading', openKey !== undefined)
  byId('thread').hidden = openKey === undefined
  byId('nothing').hidden = openKey !== undefined
  if (openKey === undefined) {
    thread.close()
    list.show(conversations.sorted(), openKey)
    return list.focus()
  }
  thread.open({ platform, platformId, destination })
  conversations.read(key)
  composer.open(key)
}

const states: Record<string, string> = {
  'events-not-enabled': 'Live updates are off: the gateway watches no channels',
  'inbox-unreachable': 'The inbox cannot be reached. It is trying again…',
  'gateway-unreachable': 'The gateway cannot be reached. The inbox is trying again…',
}
const problems: { stream?: string | undefined; list?: string | undefined; reading?: string | undefined } = {}
function showState(news: typeof problems) {
  const { stream, list, reading } = Object.assign(problems, news)
  const line = byId('connection')
  let text = ''
  if (stream !== undefined) text = states[stream] ?? `Live updates are interrupted (${stream}). The inbox is trying again…`
  else if (list !== undefined) text = `The conversations cannot be listed (${list}). The inbox is trying again…`
  else if (reading !== undefined) text = `This conversation cannot be read (${reading}). The inbox is trying again…`
  if (line.textContent !== text) line.textContent = text // a screen reader would say it again with each try
}

const load = persistent(conversations.load, { onOutcome: error => showState({ list: error instanceof Error ? error.message : undefined }) })

byId('back').addEventListener('click', () => {
  location.hash = ''
})
addEventListener('hashchange', openFromAddress)
addEventListener('keydown', event => {
  if (event.key === 'Escape' && !isComposing(event) && openKey !== undefined) location.hash = ''
})
listenToAccount({ onEvent: event => conversations.apply(event, openKey), onReset: load, onState: stream => showState({ stream }) })
void load()
openFromAddress()
