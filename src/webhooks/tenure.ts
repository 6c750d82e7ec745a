import type { Observe } from '../events.ts'
import type { EventStore } from '../store/event-log.ts'
import { Attempts } from './attempts.ts'
import { deliveriesAtOnce, type Endpoint } from './endpoint.ts'
import type { Feed } from './feed.ts'
import type { Health } from './health.ts'
import type { Clock, EventReader, WebhookConfig } from './ports.ts'
import { type WebhookState, writeState } from './saved-state.ts'
import { createSaving, type Saving } from './saving.ts'
import { takeUnsaved, type Unsaved } from './unsaved.ts'
import { isAhead } from './verdict.ts'
import { readWish } from './wishes.ts'

export type TenureOptions = {
  name: string
  webhook: WebhookConfig
  lease: { name: string; fence: number }
  store: EventStore
  reader: EventReader
  endpoint: Endpoint
  /** When this process started, or last loaded this webhook: what was disabled before is tried again. */
  startedAt: number
  clock: Clock
  observe: Observe
  /** Whether the lease is still held, as far as this process knows. */
  holds: () => boolean
  /** Another process has the lease. */
  lost: () => void
  /** A state in the log of this identity was saved. */
  onSaved: (identity: string) => void
}

const failedPage = 1_000
const storeRetryMs = 1_000

/** Where a tenure begins. */
type Begun = { health: Health; feed: Feed; requests: Requests; lastError: string | undefined; formerAccounts: Record<string, WebhookState> }
type Requests = Awaited<ReturnType<EventStore['deliveries']['webhook']>>['requests']

/** Delivers for one webhook while this process holds its lease. */
export class Tenure {
  readonly #options: TenureOptions
  readonly #health: Health
  readonly #feed: Feed
  readonly #attempts: Attempts
  readonly #saving: Saving
  readonly #abort = new AbortController()
  readonly #formerAccounts: Begun['formerAccounts']
  readonly #unsaved: Unsaved = { failed: [], cleared: [], handled: 0 }
  #requests: Requests
  #working = false
  #ended = false
  #again = false
  #cancelTimer = () => {}

  constructor(options: TenureOptions, { health, feed, requests, lastError, formerAccounts }: Begun) {
    this.#options = options
    this.#health = health
    this.#feed = feed
    this.#requests = requests
    this.#formerAccounts = formerAccounts
    this.#attempts = new Attempts({ ...options, feed, health, unsaved: this.#unsaved, signal: this.#abort.signal, lastError })
    this.#saving = createSaving(options.clock, () => this.#write())
  }

  /** Runs a step now, or once more after the one that runs. */
  wake(): void {
    this.#again = true
    if (this.#working || this.#ended) return
    this.#working = true
    void this.#work().finally(() => {
      this.#working = false
      if (this.#again) this.wake()
    })
  }

  news(): void {
    this.#feed.news()
    this.wake()
  }

  /** Looks whether an operator has asked for something. */
  async check(): Promise<void> {
    const { name, store } = this.#options
    const { requests } = await store.deliveries.webhook(name)
    this.#requests = requests.filter(({ id }) => id > this.#unsaved.handled)
    if (this.#requests.length > 0) this.wake()
  }

  report() {
    const { lastError } = this.#attempts
    return { state: this.#health.state(), lastError, oldestAt: this.#feed.window().entries[0]?.event.at }
  }

  save(): Promise<void> {
    return this.#saving.now()
  }

  /** Ends without another word; what is in flight is delivered again by the next. */
  abandon(): void {
    this.#ended = true
    this.#cancelTimer()
    this.#saving.stop()
    this.#abort.abort()
  }

  /** Lets what is in flight end, for a while, and saves. */
  async end(graceMs: number): Promise<void> {
    this.#ended = true
    this.#cancelTimer()
    const cancel = this.#options.clock.after(graceMs, () => this.#abort.abort())
    await this.#attempts.idle()
    cancel()
    await this.#saving.now().catch(() => {}) // at least once is what was promised
  }

  async #work() {
    const { clock } = this.#options
    this.#cancelTimer()
    let at = clock.now() + storeRetryMs
    while (this.#again && !this.#ended) {
      this.#again = false
      at = await this.#step().catch(() => clock.now() + storeRetryMs) // only the store rejects
    }
    if (Number.isFinite(at) && !this.#ended) this.#cancelTimer = clock.after(Math.max(1, at - clock.now()), () => this.wake())
  }

  /** Starts what may start, and says when to look again. */
  async #step(): Promise<number> {
    const isIdle = () => this.#attempts.inFlight === 0
    if (this.#requests.length > 0 && isIdle()) await this.#serve()
    for (;;) {
      const at = this.#start()
      if (this.#ended || !this.#options.holds() || !this.#feed.needs(isIdle())) return at
      await this.#feed.fill(isIdle())
      this.#saving.soon()
    }
  }

  /** What operators asked for; only while nothing is in flight. */
  async #serve() {
    const { name, store, observe } = this.#options
    for (const { id, request } of this.#requests) {
      const wish = readWish(request)
      if (wish && wish.kind !== 'resume') await this.#saving.now() // what has just failed is to be found
      if (wish?.kind === 'resume' && this.#health.resume())
        observe('webhookStateChanged', { webhook: name, state: 'ok', reason: undefined })
      if (wish?.kind === 'after') {
        this.#feed.rewind(wish.position)
        this.#unsaved.clearedAfter = wish.position
      }
      if (wish?.kind === 'failed') {
        const failed = await store.deliveries.failed(name, 0, failedPage)
        this.#unsaved.cleared.push(...(await this.#feed.restore(failed.map(({ position }) => position))))
      }
      this.#unsaved.handled = id
    }
    this.#requests = []
    this.#saving.soon()
  }

  /** Begins attempts; returns when the next one may begin, as far as time decides. */
  #start(): number {
    const { clock, holds } = this.#options
    const health = this.#health
    for (;;) {
      const now = clock.now()
      if (this.#ended || this.#requests.length > 0 || !holds() || health.state() === 'disabled') return Number.POSITIVE_INFINITY
      if (isAhead(health.pausedUntil(), now)) return health.pausedUntil()
      // After a pause one attempt shows whether the endpoint is up again.
      if (this.#attempts.inFlight >= (health.state() === 'paused' ? 1 : deliveriesAtOnce)) return Number.POSITIVE_INFINITY
      const { entry, at } = this.#feed.window().next(now)
      if (!entry) return at
      void this.#attempts.attempt(entry).then(() => {
        this.#saving.soon()
        this.wake()
      })
    }
  }

  async #write() {
    const { name, webhook, endpoint, lease, store, lost, onSaved } = this.#options
    const { taken, restore } = takeUnsaved(this.#unsaved)
    const { lastError } = this.#attempts
    const identity = this.#feed.identity()
    const about = { identity, endpoint: endpoint.fingerprint, lastError, formerAccounts: this.#formerAccounts, ...this.#health.saved() }
    const saved = { account: webhook.account, state: writeState(this.#feed.window(), about) }
    const isHeld = await store.deliveries.save(name, lease, { saved, ...taken }).catch(error => {
      restore()
      throw error
    })
    if (isHeld) onSaved(identity)
    else lost()
  }
}
