import { createHmac, randomUUID } from 'node:crypto'
import { allows } from '../access.ts'
import { pause } from '../lib/pause.ts'
import type { Leases } from '../store/event-log.ts'
import { StoreUnavailableError, within } from '../store/store.ts'
import { ChannelPoll } from './channel-poll.ts'
import { channelKey, type Known, readKnown } from './known-states.ts'
import type { Channel } from './ports.ts'
import { Term, type TermOptions } from './term.ts'

/** In `channels`, `*` is every channel; another pattern has a platform and a platformId, each a literal, a literal prefix and `*`, or `*`. */
export type WatchedChannels = { channels: readonly string[]; intervalMs: number }

export type AccountPollerOptions = Omit<TermOptions, 'lease' | 'secret' | 'markKey' | 'intervalMs'> &
  WatchedChannels & {
    leases: Leases
    /** The poller before this one frees the lease. */
    after?: Promise<void> | undefined
    secret: () => Promise<Uint8Array>
  }

const leaseMs = 10_000
/** A holder that dies is followed within `leaseMs` and this, and a little. */
const leaseEveryMs = 2_500
const minuteMs = 60_000
const openLogEveryMs = 600_000
const stopMs = 1_000

/** Polls the channels of one account whenever this process has the lease for it. */
export class AccountPoller {
  readonly #options: AccountPollerOptions
  readonly #holder = randomUUID()
  readonly #controller = new AbortController()
  readonly #running: Promise<void>
  #term: Term | undefined = undefined
  #polls = new Map<string, { poll: ChannelPoll; controller: AbortController }>()

  constructor(options: AccountPollerOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  /** What is in the store may be something else now. */
  restart() {
    this.#term?.end()
  }

  /** Ends polling and frees the lease, within a second. */
  async stop() {
    this.#controller.abort()
    this.#term?.end()
    await within(stopMs, this.#running).catch(() => {})
  }

  /** How many channels are watched, how many of them cannot be read, and the longest interval; absent while another process polls. */
  get channels(): { watched: number; unreadable: number; intervalMs: number } | undefined {
    if (!this.#term) return undefined
    const polls = [...this.#polls.values()].map(({ poll }) => poll)
    const unreadable = polls.filter(({ isReadable }) => !isReadable).length
    const intervalMs = Math.max(this.#options.intervalMs, ...polls.map(poll => poll.intervalMs))
    return { watched: polls.length, unreadable, intervalMs }
  }

  async #run() {
    const { signal } = this.#controller
    const { account, observe, after } = this.#options
    let isDenied = false
    await after
    while (!signal.aborted) {
      await this.#hold(signal).catch(error => {
        // A store that is away reports that itself, but not what it denies to events alone.
        if (isDenied || !(error instanceof StoreUnavailableError && error.cause === 'denied')) return
        isDenied = true
        observe('pollingDenied', { account })
      })
      await pause(leaseEveryMs * (0.8 + 0.2 * Math.random()), signal)
    }
  }

  /** Polls for as long as the lease lasts. */
  async #hold(signal: AbortSignal) {
    const { account, leases, log, observe, storeTimeoutMs, secret, ...rest } = this.#options
    const name = `poller ${account}`
    let until = performance.now() + leaseMs
    const fence = await within(storeTimeoutMs, leases.acquire(name, this.#holder, leaseMs))
    if (fence === undefined) return
    try {
      const open = () => within(storeTimeoutMs, log.open(account))
      await open()
      const known = await readKnown(log, account, storeTimeoutMs)
      const key = await within(storeTimeoutMs, secret())
      const markKey = createHmac('sha256', key).update('marks of conversations').digest('base64url')
      const term = new Term({ ...rest, account, log, observe, storeTimeoutMs, secret: key, markKey, lease: { name, fence } })
      if (signal.aborted) return
      this.#term = term
      observe('pollingStateChanged', { account, polling: true })
      const renew = async () => {
        const startedAt = performance.now()
        const isHeld = await within(storeTimeoutMs, leases.renew(name, fence, leaseMs)).catch(() => undefined)
        if (isHeld) until = startedAt + leaseMs
        else if (isHeld === false || performance.now() >= until) term.end()
      }
      await Promise.all([
        repeatUntil(leaseEveryMs, term.signal, renew),
        repeatUntil(openLogEveryMs, term.signal, open),
        repeatUntil(minuteMs, term.signal, () => this.#expand(term, known).then(() => this.#rereadUndelivered())),
      ])
    } finally {
      if (this.#term) observe('pollingStateChanged', { account, polling: false })
      this.#term = undefined
      this.#polls.clear()
      await within(storeTimeoutMs, leases.release(name, fence))
    }
  }

  /** Polls the channels that the patterns name now, and no others. */
  async #expand(term: Term, known: Map<string, Known>) {
    const { account, channels: patterns, reads, observe } = this.#options
    const { items = [] } = patterns.some(pattern => pattern.includes('*')) ? await reads.channels() : {}
    if (term.signal.aborted) return
    const wanted = expand(patterns, items)
    for (const [key, { poll, controller }] of this.#polls) {
      if (wanted.has(key)) continue
      controller.abort()
      known.set(key, poll.known)
      this.#polls.delete(key)
    }
    for (const [key, channel] of wanted) {
      if (this.#polls.has(key)) continue
      const controller = new AbortController()
      const poll = new ChannelPoll(term, channel, known.get(key))
      known.delete(key)
      this.#polls.set(key, { poll, controller })
      void poll.run(AbortSignal.any([term.signal, controller.signal])).catch(error => term.fail(error))
    }
    if (wanted.size === 0) observe('pollEnded', { account, ms: 0, ok: true }) // polling does not stand still: no channel fits
  }

  /** Changes of a row that is not the last do not show in getchats. */
  async #rereadUndelivered() {
    const { account, hooks } = this.#options
    for (const chat of (await hooks.undelivered?.(account)) ?? []) this.#polls.get(channelKey(chat))?.poll.reread(chat.destination)
  }
}

/** The channels that the patterns name, by their keys: those of the account that fit, and literal ones, listed or not. */
function expand(patterns: readonly string[], listed: readonly Channel[]): Map<string, Channel> {
  const wanted = patterns.map(pattern => (pattern === '*' ? '*/*' : pattern))
  const literal = wanted.filter(pattern => !pattern.includes('*')).map(pattern => pattern.split('/', 2))
  const named = literal.map(([platform = '', platformId = '']) => ({ platform, platformId }))
  const trimmed = listed.map(({ platform, platformId }) => ({ platform: platform.trim().toLowerCase(), platformId: platformId.trim() }))
  const matching = trimmed.filter(({ platform, platformId }) => allows(wanted, platform, platformId))
  return new Map([...named, ...matching].map(channel => [channelKey(channel), channel]))
}

/** Runs a job now and then every `ms`, sooner after a failure, until the signal. */
async function repeatUntil(ms: number, signal: AbortSignal, job: () => Promise<unknown>) {
  for (let failures = 0; !signal.aborted; ) {
    failures = await job().then(
      () => 0,
      () => failures + 1,
    )
    await pause(failures > 0 ? Math.min(ms, 500 * 2 ** Math.min(failures, 10)) : ms, signal)
  }
}
