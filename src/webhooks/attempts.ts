import type { Observe } from '../events.ts'
import { retryAfterMs } from '../lib/retry-after.ts'
import type { Endpoint, Reply } from './endpoint.ts'
import type { Feed } from './feed.ts'
import type { Health } from './health.ts'
import type { Clock, EventReader, WebhookConfig } from './ports.ts'
import type { Unsaved } from './unsaved.ts'
import { mostRefusals, refusalDelayMs, verdictOf } from './verdict.ts'
import { type Entry, isMade, type Window } from './window.ts'

type AttemptsOptions = {
  name: string
  webhook: WebhookConfig
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
export class Attempts {
  inFlight = 0
  lastError: string | undefined
  readonly #options: AttemptsOptions
  #idle = () => {}
  #window: Window

  constructor(options: AttemptsOptions) {
    this.#options = options
    this.lastError = options.lastError
    this.#window = options.feed.window()
  }

  /** Resolves once nothing is in flight. */
  idle(): Promise<void> {
    return new Promise(resolve => {
      this.#idle = resolve
      if (this.inFlight === 0) resolve()
    })
  }

  async attempt(entry: Entry): Promise<void> {
    this.inFlight++
    entry.inFlight = true
    await this.#run(entry)
    entry.inFlight = false
    this.inFlight--
    if (this.inFlight === 0) this.#idle()
  }

  async #run(entry: Entry) {
    const { name, webhook, health, reader, endpoint, clock, observe, signal, holds } = this.#options
    const [at, startedAt] = [clock.now(), clock.monotonic()]
    const id = this.#idOf(entry)
    const body = await reader.render(webhook, id, entry.event, entry.learntAt).catch(() => undefined)
    if (signal.aborted || !holds()) return // the reading took long: another process may deliver by now
    if (body === undefined) {
      entry.notBefore = clock.now() + unreadableMs
      this.lastError = 'Afilnet cannot be read, so the text of the message is not known yet'
      return
    }
    const reply = await endpoint.post(id, body, signal)
    if (signal.aborted) return
    entry.attempts++
    entry.lastAttemptAt = at
    entry.lastStatus = reply.status ?? null
    entry.lastError = reply.error ?? null
    const before = health.state()
    const result = this.#record(entry, reply, startedAt)
    observe('deliveryEnded', { webhook: name, result, ms: clock.monotonic() - startedAt })
    const state = health.state()
    if (state !== before) observe('webhookStateChanged', { webhook: name, state, reason: this.lastError })
  }

  #record(entry: Entry, reply: Reply, startedAt: number) {
    const { feed, health, clock } = this.#options
    const verdict = reply.status === undefined ? 'down' : verdictOf(reply.status)
    if (verdict === 'delivered') {
      this.lastError = undefined
      feed.window().settle(entry)
      health.delivered(startedAt)
      return verdict
    }
    this.lastError = reply.error ?? `the endpoint answered ${reply.status}`
    if (verdict === 'refused') return this.#refuse(entry, startedAt)
    if (verdict === 'gone') health.gone(clock.now())
    else health.down(startedAt, clock, retryAfterMs(reply.retryAfter, clock.now()) ?? 0)
    return verdict
  }

  #refuse(entry: Entry, startedAt: number) {
    const { feed, health, clock } = this.#options
    if (this.#window !== feed.window()) health.forgetRefused()
    this.#window = feed.window()
    entry.refusals++
    const { suspects, isProbe } = health.refused(entry, startedAt)
    if (suspects.length > 0) {
      if (isProbe) entry.probes++
      health.down(startedAt, clock, 0)
      this.#takeBack(suspects, isProbe)
      return 'down'
    }
    health.answered(startedAt)
    if (entry.refusals >= mostRefusals) {
      this.#fail(entry)
      return 'failed'
    }
    entry.notBefore = clock.now() + refusalDelayMs(entry.refusals)
    return 'refused'
  }

  /**
   * The endpoint seems to be to blame for what it refused: nothing of it has failed.
   *
   * After the pause the first of them goes first. If it is refused again, others go before these, and those that were tried least before the
   * rest: as soon as one is accepted, it is known that the endpoint is up.
   */
  #takeBack(suspects: readonly Entry[], isProbe: boolean) {
    const { health, unsaved } = this.#options
    for (const entry of suspects) {
      const { position } = entry.event
      entry.notBefore = isProbe ? health.pausedUntil() + 1 + entry.probes : 0
      if (this.#window.entries.includes(entry)) continue
      this.#window.restore(entry)
      unsaved.failed = unsaved.failed.filter(failed => failed.position !== position)
      unsaved.cleared.push(position)
    }
  }

  #fail(entry: Entry) {
    const { feed, unsaved } = this.#options
    const { position, type, at, destination } = entry.event
    const { attempts, lastStatus, lastError, lastAttemptAt } = entry
    const eventId = this.#idOf(entry)
    unsaved.failed.push({ position, eventId, type, at, destination, attempts, lastStatus, lastError, lastAttemptAt })
    feed.window().settle(entry)
  }

  #idOf({ event }: Entry) {
    const { webhook, reader, feed } = this.#options
    return reader.idOf(webhook.account, feed.identity(), event.position, isMade(event))
  }
}
