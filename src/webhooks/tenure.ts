import type { Observe } from '../events.ts'
import { createAttempts, type Unsaved } from './attempts.ts'
import { deliveriesAtOnce, type Endpoint } from './endpoint.ts'
import { createFeed, startNow } from './feed.ts'
import { passes } from './filter.ts'
import { createHealth } from './health.ts'
import type { Clock, EventReader, WebhookConfig, WebhookStore } from './ports.ts'
import { readState, writeState } from './saved-state.ts'
import { createSaving } from './saving.ts'
import { readWish } from './wishes.ts'

export type TenureOptions = {
  name: string
  webhook: WebhookConfig
  lease: { name: string; fence: number }
  store: WebhookStore
  reader: EventReader
  endpoint: Endpoint
  /** When this process started, or was told of this webhook last: what was disabled before is tried again. */
  startedAt: number
  clock: Clock
  observe: Observe
  /** Whether the lease is still held, as far as this process knows. */
  holds: () => boolean
  /** Another process has the lease. */
  lost: () => void
}

export type Tenure = Awaited<ReturnType<typeof beginTenure>>

const failedPage = 1_000
const storeRetryMs = 1_000

/** Delivers for one webhook while this process holds its lease. */
export async function beginTenure(options: TenureOptions) {
  const { name, webhook, lease, store, clock, startedAt, holds, lost } = options
  const { account } = webhook
  const { saved, requests: found } = await store.deliveries.webhook(name)
  // The positions of another account mean nothing in the log of this one.
  const isKnown = saved?.account === account
  const state = isKnown ? readState(saved.state) : await startNow(store.log, account)
  const health = createHealth(state, startedAt)
  const feed = createFeed({ log: store.log, account, clock, wants: event => passes(webhook, event) }, state)
  await feed.restore(state.again)

  const abort = new AbortController()
  const unsaved: Unsaved = { failed: [], cleared: [], handled: 0 }
  const attempts = createAttempts({ ...options, account, feed, health, unsaved, signal: abort.signal, lastError: state.lastError })
  let requests = found
  let working = false
  let ended = false
  let again = false
  let cancelTimer = () => {}

  const saving = createSaving(clock, async () => {
    const { failed, cleared, clearedAfter, handled } = unsaved
    Object.assign(unsaved, { failed: [], cleared: [] })
    delete unsaved.clearedAfter
    const lastError = attempts.lastError()
    const text = writeState(feed.window(), { identity: feed.identity(), ...health.saved(), ...(lastError !== undefined && { lastError }) })
    const change = { saved: { account, state: text }, failed, cleared, ...(clearedAfter !== undefined && { clearedAfter }), handled }
    const isHeld = await store.deliveries.save(name, lease, change).catch(error => {
      unsaved.failed.unshift(...failed)
      unsaved.cleared.unshift(...cleared)
      if (clearedAfter !== undefined) unsaved.clearedAfter ??= clearedAfter
      throw error
    })
    if (!isHeld) lost()
  })

  /** What operators asked for; only while nothing is in flight. */
  async function serve() {
    for (const { id, request } of requests) {
      const wish = readWish(request)
      if (wish?.kind === 'resume') health.resume()
      if (wish?.kind === 'after') {
        feed.rewind(wish.position)
        unsaved.clearedAfter = wish.position
      }
      if (wish?.kind === 'failed') {
        await saving.now() // what has just failed is to be found
        const failed = await store.deliveries.failed(name, 0, failedPage)
        unsaved.cleared.push(...(await feed.restore(failed.map(({ position }) => position))))
      }
      unsaved.handled = id
    }
    requests = []
    saving.soon()
  }

  /** Begins attempts; returns when the next one may begin, as far as time decides. */
  function start(): number {
    for (;;) {
      const now = clock.now()
      if (ended || requests.length > 0 || !holds() || health.state() === 'disabled') return Number.POSITIVE_INFINITY
      if (health.pausedUntil() > now) return health.pausedUntil()
      // After a pause one attempt shows whether the endpoint is up again.
      if (attempts.inFlight() >= (health.state() === 'paused' ? 1 : deliveriesAtOnce)) return Number.POSITIVE_INFINITY
      const { entry, at } = feed.window().next(now)
      if (!entry) return at
      void attempts.attempt(entry).then(() => {
        saving.soon()
        wake()
      })
    }
  }

  /** Starts what may start, and says when to look again. */
  async function step(): Promise<number> {
    if (requests.length > 0 && attempts.inFlight() === 0) await serve()
    for (;;) {
      const at = start()
      if (ended || !holds() || !feed.needs(attempts.inFlight() === 0)) return at
      await feed.fill(attempts.inFlight() === 0)
      saving.soon()
    }
  }

  /** Runs steps one after the other, as long as somebody asks for them. */
  function wake() {
    again = true
    if (working || ended) return
    working = true
    void work().finally(() => {
      working = false
      if (again) wake()
    })
  }

  async function work() {
    cancelTimer()
    let at = clock.now() + storeRetryMs
    while (again && !ended) {
      again = false
      at = await step().catch(() => clock.now() + storeRetryMs) // only the store rejects
    }
    if (Number.isFinite(at) && !ended) cancelTimer = clock.after(Math.max(1, at - clock.now()), wake)
  }

  if (!isKnown) await saving.now() // so that it begins here, whatever happens next
  wake()

  return {
    wake,
    news() {
      feed.news()
      wake()
    },
    /** Looks whether an operator has asked for something. */
    async check() {
      const { requests: all } = await store.deliveries.webhook(name)
      requests = all.filter(({ id }) => id > unsaved.handled)
      if (requests.length > 0) wake()
    },
    report: () => ({
      state: health.state(),
      lastError: attempts.lastError(),
      oldestAt: feed.window().entries[0]?.event.at,
    }),
    /** Ends without another word; what is in flight is delivered again by the next. */
    abandon() {
      ended = true
      cancelTimer()
      saving.stop()
      abort.abort()
    },
    /** Lets what is in flight end, for a while, and saves. */
    async end(graceMs: number) {
      ended = true
      cancelTimer()
      const cancel = clock.after(graceMs, () => abort.abort())
      await attempts.idle()
      cancel()
      saving.stop()
      await saving.now().catch(() => {}) // at least once is what was promised
    },
  }
}
