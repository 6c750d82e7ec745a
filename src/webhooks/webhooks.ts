import { randomUUID } from 'node:crypto'
import { type Observe, unobserved } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import { createDeliverer, type Deliverer } from './deliverer.ts'
import { createEndpoint, type Endpoint } from './endpoint.ts'
import type { WebhookStateName } from './health.ts'
import { createListing, type DeliveryPage } from './listing.ts'
import { type Clock, type EventReader, realClock, type WebhookConfig, type WebhookStore } from './ports.ts'
import { readState, type WebhookState } from './saved-state.ts'
import { testEvent } from './test-event.ts'
import { verdictOf } from './verdict.ts'
import { type Wish, writeWish } from './wishes.ts'

/** A webhook as an operator sees it. */
export type WebhookReport = {
  name: string
  /** Without its query, which may hold a secret. */
  url: string
  state: WebhookStateName
  lag: number
  lastError?: string
}

/** What an attempt to reach an endpoint found. */
export type TestResult = { status: number | null; ms: number; error?: string }

/** The webhooks of every account, as routes and metrics use them. */
export type Webhooks = {
  list(account: string): Promise<WebhookReport[]>
  deliveries(account: string, name: string, query: { state?: 'pending' | 'failed'; limit: number; cursor?: string }): Promise<DeliveryPage>
  /** Begins again after a cursor, or tries the failed events again. */
  redrive(account: string, name: string, what: { after: string } | { failed: true }): Promise<void>
  test(account: string, name: string): Promise<TestResult>
  /** The webhooks that this process delivers for. */
  report(): { webhook: string; state: WebhookStateName; lag: number }[]
  reload(webhooks: Readonly<Record<string, WebhookConfig>>): void
  stop(): Promise<void>
}

type Options = {
  webhooks: Readonly<Record<string, WebhookConfig>>
  store: WebhookStore
  reader: EventReader
  observe?: Observe
  clock?: Clock
  timeoutMs?: number
  /** How long failed deliveries are kept. */
  keepMs?: number
}

type Running = { config: WebhookConfig; endpoint: Endpoint; deliverer: Deliverer; unwatch: () => void }

const sweepMs = 600_000

/** Starts to deliver. */
export function createWebhooks({
  webhooks,
  store,
  reader,
  observe = unobserved,
  clock = realClock,
  timeoutMs,
  keepMs = 259_200_000,
}: Options): Webhooks {
  const holder = randomUUID()
  const running = new Map<string, Running>()
  const listing = createListing({ store, reader })
  let ending: Promise<void> = Promise.resolve()
  let wanted = webhooks

  function start(name: string, config: WebhookConfig) {
    const endpoint = createEndpoint(config, clock, timeoutMs)
    const startedAt = clock.now()
    const deliverer = createDeliverer({ name, webhook: config, holder, store, reader, endpoint, startedAt, clock, observe })
    const unwatch = store.log.watch([config.account], deliverer.news)
    running.set(name, { config, endpoint, deliverer, unwatch })
    observe('webhookStarted', { webhook: name })
  }

  async function end({ deliverer, endpoint, unwatch }: Running) {
    unwatch()
    await deliverer.stop()
    await endpoint.close()
  }

  function find(account: string, name: string): Running {
    const found = running.get(name)
    if (found?.config.account !== account) throw new Problem('webhook-not-found')
    return found
  }

  async function wish(name: string, wish: Wish, { deliverer }: Running) {
    await store.deliveries.request(name, writeWish(wish))
    await deliverer.check().catch(() => {}) // it looks again by itself, and so does any other process
  }

  const lagOf = (oldestAt: number | undefined) => (oldestAt === undefined ? 0 : Math.max(0, Math.round((clock.now() - oldestAt) / 1_000)))

  /** How a webhook is that another process delivers for. */
  async function elsewhere(name: string) {
    const { saved } = await store.deliveries.webhook(name)
    const { paused, disabledAt, lastError, oldestAt } = saved ? readState(saved.state) : ({} as Partial<WebhookState>)
    const state: WebhookStateName = disabledAt !== undefined ? 'disabled' : paused ? 'paused' : 'ok'
    return { state, lastError, oldestAt }
  }

  async function describe(name: string, { config, deliverer }: Running): Promise<WebhookReport> {
    const { state, lastError, oldestAt } = deliverer.report() ?? (await elsewhere(name))
    const url = config.url.origin + config.url.pathname
    return { name, url, state, lag: lagOf(oldestAt), ...(lastError !== undefined && { lastError }) }
  }

  /** What has failed is gone with the events themselves. */
  let cancelSweep = clock.after(sweepMs, sweep)
  function sweep() {
    store.deliveries.deleteFailed(clock.now() - keepMs).catch(() => {}) // the next time
    cancelSweep = clock.after(sweepMs, sweep)
  }

  for (const [name, config] of Object.entries(webhooks)) start(name, config)

  return {
    list: account =>
      Promise.all([...running].filter(([, { config }]) => config.account === account).map(([name, webhook]) => describe(name, webhook))),

    async deliveries(account, name, query) {
      return listing(name, find(account, name).config, query)
    },

    async redrive(account, name, what) {
      const found = find(account, name)
      if ('failed' in what) return wish(name, { kind: 'failed' }, found)
      return wish(name, { kind: 'after', position: await listing.positionOf(account, what.after) }, found)
    },

    async test(account, name) {
      const found = find(account, name)
      const event = testEvent(clock.now())
      const startedAt = clock.monotonic()
      const { status, error } = await found.endpoint.post(event.id, JSON.stringify(event))
      const ms = Math.round(clock.monotonic() - startedAt)
      if (status !== undefined && verdictOf(status) === 'delivered') await wish(name, { kind: 'resume' }, found)
      return { status: status ?? null, ms, ...(error !== undefined && { error }) }
    },

    report: () =>
      [...running].flatMap(([webhook, { deliverer }]) => {
        const here = deliverer.report()
        return here ? [{ webhook, state: here.state, lag: lagOf(here.oldestAt) }] : []
      }),

    /** Every webhook that has changed, or that was disabled, starts again where it was. */
    reload(next) {
      wanted = next
      for (const [name, webhook] of running) {
        const config = next[name]
        if (config && isSame(config, webhook.config) && webhook.deliverer.report()?.state !== 'disabled') continue
        running.delete(name)
        ending = Promise.all([ending, end(webhook)]).then(() => {})
      }
      void ending.then(() => {
        for (const [name, config] of Object.entries(wanted)) if (!running.has(name)) start(name, config)
      })
    },

    async stop() {
      cancelSweep()
      await ending
      await Promise.all([...running.values()].map(end))
    },
  }
}

const isSame = (one: WebhookConfig, other: WebhookConfig) =>
  JSON.stringify({ ...one, url: one.url.href }) === JSON.stringify({ ...other, url: other.url.href })
