import type { Event } from './conversations.ts'

type Handlers = { onEvent: (event: Event) => void; onReset: () => void; onState: (problem: string | undefined) => void }

/** What happens in the whole account, by way of the inbox's server. The browser comes back by itself, and continues where it was. */
export function listenToAccount(handlers: Handlers) {
  const { onEvent, onReset, onState } = handlers
  const source = new EventSource('/api/events')
  let wasLost = true // what came before the stream began is not in it
  source.addEventListener('message', ({ data }) => {
    const event = JSON.parse(data) as Event
    if (event.type === 'gap') onReset()
    else onEvent(event)
  })
  source.addEventListener('reset', onReset)
  source.addEventListener('state', ({ data }) => {
    const { state } = JSON.parse(data) as { state: string }
    onState(state === 'live' || state === 'connecting' ? undefined : state)
    if (wasLost && state === 'live') onReset()
    wasLost = state !== 'live'
  })
  source.addEventListener('error', () => {
    wasLost = true // without an event so far, the browser comes back with no position
    onState('inbox-unreachable')
    if (source.readyState === EventSource.CLOSED) setTimeout(listenToAccount, 2_000, handlers) // after an answer that is no stream, it stays away
  })
}
