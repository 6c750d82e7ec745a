import { randomUUID } from 'node:crypto'
import { type Observe, unobserved } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import type { EventStore } from '../store/event-log.ts'
import { StoreUnavailableError } from '../store/store.ts'
import { createDeliverer, type Deliverer } from './deliverer.ts'
import { createEndpoint, type Endpoint } from './endpoint.ts'
import { stateNameOf, type WebhookStateName } from './health.ts'
import { createListing, type DeliveryPage, type DeliveryQuery, type Listing } from './listing.ts'
import { type Clock, type EventReader, realClock, type WebhookConfig } from './ports.ts'
import { readState } from './saved-state.ts'
import { verdictOf } from './verdict.ts'
import type { Wish } from './wishes.ts'

/** A webhook as an operator sees it. */
type WebhookReport = {
  name: string
  /** Without its query, which may hold a secret. */
  url: string
  state: WebhookStateName
  lag: number
  lastError?: string
}

/** What an attempt to reach an endpoint found. */
type TestResult = { status: number | null; ms: number; error?: string }

type WebhooksOptions = {
  webhooks: Readonly<Record<string, WebhookConfig>>
  store: EventStore
  reader: EventReader
  observe?: Observe
  clock?: Clock
  timeoutMs?: number
}

type Running = { config: WebhookConfig; endpoint: Endpoint; deliverer: Deliverer; unwatch: () => void; testing?: Promise<TestResult> }

/** The webhooks of every account, as routes and metrics use them. */
export class Webhooks {
  readonly #options: WebhooksOptions & { observe: Observe; clock: Clock }
  readonly #holder = randomUUID()
  readonly #running = new Map<string, Running>()
  readonly #listing: Listing
  #ending: Promise<void> = Promise.resolve()

  /** Starts to deliver. */
  constructor(options: WebhooksOptions) {
    this.#options = { observe: unobserved, clock: realClock, ...options }
    this.#listing = createListing(options)
    for (const [name, config] of Object.entries(options.webhooks)) this.#start(name, config)
  }

  /** Throws `store-unavailable`, as do `deliveries` and `redrive`. */
  list(account: string): Promise<WebhookReport[]> {
    const own = [...this.#running].filter(([, { config }]) => config.account === account)
    return Promise.all(own.map(([name, webhook]) => this.#describe(name, webhook))).catch(asProblem)
  }

  async deliveries(account: string, name: string, query: DeliveryQuery): Promise<DeliveryPage> {
    return this.#listing.page(name, this.#find(account, name).config, query).catch(asProblem)
  }

  /** Begins again after a cursor, or without one tries the failed events again. */
  async redrive(account: string, name: string, { after }: { after?: string; failed?: true }): Promise<void> {
    const found = this.#find(account, name)
    if (after === undefined) return this.#wish(name, { kind: 'failed' }, found)
    const position = await this.#listing.positionOf(account, after).catch(asProblem)
    return this.#wish(name, { kind: 'after', position }, found)
  }

  /** Requests at the same time share one test: tests must not take the connections of deliveries. */
  async test(account: string, name: string): Promise<TestResult> {
    const found = this.#find(account, name)
    found.testing ??= this.#test(name, found).finally(() => delete found.testing)
    return found.testing
  }

  /** Gives what the endpoint answered even if the pause goes on, because the store is away. */
  async #test(name: string, found: Running): Promise<TestResult> {
    const { clock } = this.#options
    const event = testEvent(clock.now())
    const startedAt = clock.monotonic()
    const { status, error } = await found.endpoint.post(event.id, JSON.stringify(event))
    const ms = Math.round(clock.monotonic() - startedAt)
    if (status !== undefined && verdictOf(status) === 'delivered') await this.#wish(name, { kind: 'resume' }, found).catch(() => {})
    return { status: status ?? null, ms, ...(error !== undefined && { error }) }
  }

  /** The webhooks that this process delivers for. */
  report(): { webhook: string; state: WebhookStateName; lag: number }[] {
    return [...this.#running].flatMap(([webhook, { deliverer }]) => {
      const here = deliverer.report()
      return here ? [{ webhook, state: here.state, lag: this.#lagOf(here.oldestAt) }] : []
    })
  }

  /** Every webhook that has changed, or that was disabled, starts again where it was, once what is in flight has ended. */
  reload(next: Readonly<Record<string, WebhookConfig>>): void {
    for (const [name, webhook] of this.#running) {
      const config = Object.hasOwn(next, name) ? next[name] : undefined // a webhook may be called `constructor`
      if (config && isSame(config, webhook.config) && webhook.deliverer.report()?.state !== 'disabled') continue
      this.#running.delete(name)
      this.#ending = Promise.all([this.#ending, end(webhook)]).then(() => {})
    }
    for (const [name, config] of Object.entries(next)) if (!this.#running.has(name)) this.#start(name, config)
  }

  async stop(): Promise<void> {
    await Promise.all([this.#ending, ...[...this.#running.values()].map(end)])
  }

  #start(name: string, config: WebhookConfig) {
    const { store, reader, observe, clock, timeoutMs } = this.#options
    const endpoint = createEndpoint(config, clock, timeoutMs)
    const from = { holder: this.#holder, store, reader, startedAt: clock.now(), clock, observe }
    const deliverer = createDeliverer({ ...from, name, webhook: config, endpoint, after: this.#ending })
    const unwatch = store.log.watch([config.account], deliverer.news)
    this.#running.set(name, { config, endpoint, deliverer, unwatch })
    observe('webhookStarted', { webhook: name })
  }

  #find(account: string, name: string): Running {
    const found = this.#running.get(name)
    if (found?.config.account !== account) throw new Problem('webhook-not-found')
    return found
  }

  async #wish(name: string, wish: Wish, { deliverer }: Running) {
    await this.#options.store.deliveries.request(name, JSON.stringify(wish)).catch(asProblem)
    await deliverer.check().catch(() => {}) // whichever process delivers looks again when it renews its lease
  }

  async #describe(name: string, { config, deliverer }: Running): Promise<WebhookReport> {
    const { state, lastError, oldestAt } = deliverer.report() ?? (await this.#elsewhere(name, config.account))
    const url = config.url.origin + config.url.pathname
    return { name, url, state, lag: this.#lagOf(oldestAt), ...(lastError !== undefined && { lastError }) }
  }

  /** How a webhook is that another process delivers for. */
  async #elsewhere(name: string, account: string) {
    const { saved } = await this.#options.store.deliveries.webhook(name)
    const { state: known } = readState(saved, account)
    return { state: stateNameOf(known ?? {}), lastError: known?.lastError, oldestAt: known?.oldestAt }
  }

  #lagOf(oldestAt: number | undefined) {
    return oldestAt === undefined ? 0 : Math.max(0, Math.round((this.#options.clock.now() - oldestAt) / 1_000))
  }
}

/** An event that is in no log, to try an endpoint. */
const testEvent = (now: number) => ({
  id: `test-${randomUUID()}`,
  type: 'test',
  at: new Date(now).toISOString(),
  platform: null,
  platformId: null,
  destination: null,
  messageId: null,
  direction: null,
})

async function end({ deliverer, endpoint, unwatch }: Running) {
  unwatch()
  await deliverer.stop()
  await endpoint.close()
}

function asProblem(error: unknown): never {
  throw error instanceof StoreUnavailableError ? new Problem('store-unavailable', { detail: 'The store of the webhooks is away.' }) : error
}

const isSame = (one: WebhookConfig, other: WebhookConfig) =>
  JSON.stringify({ ...one, url: one.url.href }) === JSON.stringify({ ...other, url: other.url.href })
