import type { Observe } from '../events.ts'
import type { FailedDelivery } from '../store/deliveries.ts'
import type { Endpoint, Reply } from './endpoint.ts'
import { type Feed, isMade } from './feed.ts'
import type { Health } from './health.ts'
import type { Clock, EventReader } from './ports.ts'
import { mostRefusals, readRetryAfter, refusalDelayMs, verdictOf } from './verdict.ts'
import type { Entry } from './window.ts'

/** What is to be saved with the state. */
export type Unsaved = { failed: FailedDelivery[]; cleared: number[]; clearedAfter?: number; handled: number }

export type Attempts = ReturnType<typeof createAttempts>

type Options = {
  name: string
  account: string
  feed: Feed
  health: Health
  reader: EventReader
  endpoint: Endpoint
  clock: Clock
  observe: Observe
  unsaved: Unsaved
  signal: AbortSignal
  lastError: string | undefined
}

/** How long an event waits whose text cannot be read. */
const unreadableMs = 2_000

/** Attempts of one webhook, and what follows from their answers. */
export function createAttempts({ name, account, feed, health, reader, endpoint, clock, observe, unsaved, signal, ...from }: Options) {
  let inFlight = 0
  let idle = () => {}
  let { lastError } = from

  const idOf = ({ event }: Entry) => reader.idOf(account, feed.identity(), event.position, isMade(event))

  /** The endpoint is to blame for what it refused: it was not the events. */
  function takeBack(refused: readonly Entry[]) {
    for (const entry of refused) {
      const { position } = entry.event
      entry.refusals = 0
      entry.notBefore = 0
      feed.window().restore(entry)
      unsaved.failed = unsaved.failed.filter(failed => failed.position !== position)
      unsaved.cleared.push(position)
    }
  }

  function fail(entry: Entry) {
    const { position, type, at, destination } = entry.event
    const { attempts, lastStatus, lastError, lastAttemptAt } = entry
    const eventId = idOf(entry)
    unsaved.failed.push({ position, eventId, type, at, destination, attempts, lastStatus, lastError, lastAttemptAt })
    feed.window().settle(entry)
  }

  function refuse(entry: Entry, startedAt: number) {
    entry.refusals++
    const run = health.refused(entry)
    if (run.length > 0) {
      takeBack(run)
      health.down(startedAt, clock.now(), clock.random(), 0)
      return 'down'
    }
    health.answered(startedAt)
    if (entry.refusals >= mostRefusals) {
      fail(entry)
      return 'failed'
    }
    entry.notBefore = clock.now() + refusalDelayMs(entry.refusals)
    return 'refused'
  }

  function judge(entry: Entry, reply: Reply, startedAt: number) {
    const now = clock.now()
    const verdict = reply.status === undefined ? 'down' : verdictOf(reply.status)
    if (verdict === 'delivered') {
      lastError = undefined
      feed.window().settle(entry)
      health.delivered(startedAt)
      return verdict
    }
    lastError = reply.error ?? `the endpoint answered ${reply.status}`
    if (verdict === 'refused') return refuse(entry, startedAt)
    if (verdict === 'gone') health.gone(now)
    else health.down(startedAt, now, clock.random(), readRetryAfter(reply.retryAfter, now))
    return verdict
  }

  async function run(entry: Entry) {
    const startedAt = clock.now()
    const id = idOf(entry)
    const body = await reader.render(account, id, entry.event, entry.learntAt).catch(() => undefined)
    if (signal.aborted) return
    if (body === undefined) {
      entry.notBefore = clock.now() + unreadableMs
      lastError = 'Afilnet cannot be read, so the text of the message is not known yet'
      return
    }
    const reply = await endpoint.post(id, body, signal)
    if (signal.aborted) return
    entry.attempts++
    entry.lastAttemptAt = startedAt
    entry.lastStatus = reply.status ?? null
    entry.lastError = reply.error ?? null
    const before = health.state()
    const result = judge(entry, reply, startedAt)
    observe('deliveryEnded', { webhook: name, result, ms: clock.now() - startedAt })
    const state = health.state()
    if (state !== before) observe('webhookStateChanged', { webhook: name, state, reason: lastError })
  }

  return {
    inFlight: () => inFlight,
    lastError: () => lastError,
    /** Resolves once nothing is in flight. */
    idle: () =>
      new Promise<void>(resolve => {
        idle = resolve
        if (inFlight === 0) resolve()
      }),
    async attempt(entry: Entry) {
      inFlight++
      entry.inFlight = true
      await run(entry)
      entry.inFlight = false
      inFlight--
      if (inFlight === 0) idle()
    },
  }
}
