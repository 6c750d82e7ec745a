import type { Message, Sent } from '../../src/sandbox/world.ts'
import type { Event } from './consumer.ts'
import type { Receivers } from './receivers.ts'

export type SendRow = { id: string; state: string; reference?: string; sendAt?: string }

/** What the events of a round are compared with: `failed` are the ids of events by the name of the webhook that gave up. */
export type EventEvidence = {
  written: readonly Message[]
  sent: readonly Sent[]
  seen: readonly Event[]
  sends: readonly SendRow[]
  receivers: Receivers['all']
  failed: ReadonlyMap<string, ReadonlySet<string>>
}

const settled = ['accepted', 'rejected', 'not_sent', 'canceled', 'expired']

/** Every invariant that did not hold. */
export const brokenEvents = (evidence: EventEvidence): string[] => [
  ...wrongMessages(evidence),
  ...wrongSends(evidence),
  ...evidence.receivers.flatMap(receiver => wrongDeliveries(receiver, evidence)),
]

/** Each message is one event, in the order of its conversation. */
function wrongMessages({ written, seen }: EventEvidence): string[] {
  const broken: string[] = []
  const created = Map.groupBy(
    seen.filter(({ type }) => type === 'message.created'),
    ({ messageId }) => messageId,
  )
  for (const { messageid: id } of written) {
    const ids = new Set(created.get(id)?.map(event => event.id))
    if (ids.size === 0) broken.push(`a message is an event: ${id} is missing`)
    if (ids.size > 1) broken.push(`a message is one event: ${id} is ${[...ids]}`)
  }
  for (const [destination, rows] of Map.groupBy(written, row => row.destination)) {
    const expected = rows.map(row => row.messageid)
    const found = [...created.keys()].filter(id => id !== null && expected.includes(id))
    if (found.join() !== expected.join()) broken.push(`a conversation is in order: ${destination}: ${found} instead of ${expected}`)
  }
  return broken
}

/** What an event says of a send is true: it agrees with the ledger, and that with what Afilnet took. */
function wrongSends({ seen, sends, sent }: EventEvidence): string[] {
  const broken: string[] = []
  const said = Map.groupBy(
    seen.flatMap(({ send }) => send ?? []),
    ({ id }) => id,
  )
  for (const { id, state, reference, sendAt } of sends) {
    const states = said.get(id)?.map(send => send.state) ?? []
    const taken = sent.filter(({ message }) => message === reference).length
    if (states.length > 0 && states.at(-1) !== state) broken.push(`the last event of a send is true: ${id} is ${state}, not ${states}`)
    if (sendAt !== undefined && states.length === 0) broken.push(`the end of a queued send is an event: ${id} is ${state}`)
    const first = states.findIndex(state => settled.includes(state))
    if (first >= 0 && states.slice(first).some(state => state !== states[first]))
      broken.push(`what is settled stays so: ${id} is ${states}`)
    const agrees = taken === 1 ? ['accepted', 'unknown'].includes(state) : taken === 0 && state !== 'accepted'
    if (!agrees || !['unknown', ...settled].includes(state))
      broken.push(`a send agrees with Afilnet: ${id} is ${state}, taken ${taken} times`)
  }
  return broken
}

/** What a webhook owes: delivered, given up after refusals, or behind a gap; and in the order of each conversation. */
function wrongDeliveries(receiver: Receivers['all'][number], { seen, failed }: EventEvidence): string[] {
  const { name, delivered, wants, gaps } = receiver
  const events = new Map(seen.filter(wants).map(event => [event.id, event]))
  const broken = missingOf(receiver, seen, failed).map(id => `an event is delivered or has failed: ${name} lacks ${id}`)
  if (gaps() > 0) return broken
  const arrived = receiver.seen().flatMap(id => events.get(id) ?? [])
  for (const [destination, inLog] of Map.groupBy(events.values(), event => event.destination)) {
    const expected = inLog.filter(({ id }) => delivered.has(id) || failed.get(name)?.has(id)).map(({ id }) => id)
    const found = arrived.filter(event => event.destination === destination).map(({ id }) => id)
    if (found.join() !== expected.join()) broken.push(`deliveries of a conversation are in order: ${name}, ${destination}`)
  }
  return broken
}

/** The events that a receiver should have and has not. */
export function missingOf(
  { name, delivered, wants, gaps }: Receivers['all'][number],
  seen: readonly Event[],
  failed: EventEvidence['failed'],
) {
  if (gaps() > 0) return []
  return seen.filter(event => wants(event) && !delivered.has(event.id) && !failed.get(name)?.has(event.id)).map(({ id }) => id)
}
