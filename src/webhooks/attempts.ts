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
  /** Whether the lease is still held, as far as this process knows. */
  holds: () => boolean
  lastError: string | undefined
}

/** How long an event waits whose text cannot be read. */
const unreadableMs = 2_000

/** Attempts of one webhook, and what follows from their answers. */
export function createAttempts({
  name,
  account,
  feed,
  health,
  reader,
  endpoint,
  clock,
  observe,
  unsaved,
  signal,
  holds,
  ...from
}: Options) {
  let inFlight = 0
  let idle = () => {}
  let { lastError } = from
  let window = feed.window()

  const idOf = ({ event }: Entry) => reader.idOf(account, feed.identity(), event.position, isMade(event))

  /**
   * The endpoint seems to be to blame for what it refused: nothing of it has failed.
   *
   * After the pause the first of them goes first. If it is refused again, others go before these, and those that were tried least before the
   * rest: as soon as one is accepted, it is known that the endpoint is up.
   */
  function takeBack(suspects: readonly Entry[], isProbe: boolean) {
    for (const entry of suspects) {
      const { position } = entry.event
      entry.refusals = Math.min(entry.refusals, mostRefusals - 1)
      entry.notBefore = isProbe ? health.pausedUntil() + 1 + entry.probes : 0
      if (window.entries.includes(entry)) continue
      window.restore(entry)
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
    if (window !== feed.window()) health.forgetRefused()
    window = feed.window()
    entry.refusals++
    const { suspects, isProbe } = health.refused(entry, startedAt)
    if (suspects.length > 0) {
      if (isProbe) entry.probes++
      health.down(startedAt, clock.now(), clock.random(), 0)
      takeBack(suspects, isProbe)
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
    if (signal.aborted || !holds()) return // the reading took long: another process may deliver by now
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
