import { setFlagsFromString } from 'node:v8'
import { failures, faults, UpstreamError } from '../afilnet/faults.ts'
import { getChatChannels, getChats, getMessages } from '../afilnet/operations.ts'
import type { AccountConfig } from '../config/account.ts'
import type { Observe } from '../events.ts'
import { loadOnce } from '../lib/load-once.ts'
import type { Pollers } from '../live/pollers.ts'
import { type AfilnetReads, type List, type PollerHooks, ReadError } from '../live/ports.ts'
import type { EventStore } from '../store/event-log.ts'
import type { Store } from '../store/store.ts'
import type { Upstream } from '../upstream/upstream.ts'

type Accounts = Readonly<Record<string, Pick<AccountConfig, 'events'>>>

type PollersParts = {
  store: EventStore
  secret: Store['secret']
  upstream: Pick<Upstream, 'open'>
  accounts: Accounts
  eventsKeepMs: number
  hooks: PollerHooks
  observe: Observe
  timeoutMs: number
}

/** Connects the pollers with Afilnet and the event log; nothing is loaded before an account watches channels. */
export function connectPollers({ accounts, upstream, store, secret, eventsKeepMs, hooks, observe, timeoutMs }: PollersParts) {
  let pollers: Pollers | undefined
  let isStopped = false

  const load = loadOnce(async () => {
    const { Pollers } = await import('../live/pollers.ts')
    // V8 gives less to a process that is idle most of the time. A Node.js without the flag writes a line to standard error, and goes on.
    setFlagsFromString('--heap-growing-percent=100')
    const { leases, log } = store
    const reads = (account: string) => readsOf(upstream, account)
    pollers = new Pollers({ leases, log, secret, keepMs: eventsKeepMs, hooks, observe, reads, storeTimeoutMs: timeoutMs })
    return pollers
  })

  async function useAccounts(next: Accounts) {
    accounts = next
    const watching = () => Object.entries(accounts).flatMap(([name, { events }]) => (events ? [[name, events] as const] : []))
    if (watching().length === 0 && !pollers) return
    const loaded = await load()
    if (!isStopped) loaded.reload(Object.fromEntries(watching()))
  }

  return {
    start: () => useAccounts(accounts),
    /** Polls by another configuration from now on. */
    useAccounts,
    storeLost: () => pollers?.storeLost(),
    holds: (account: string): boolean => pollers?.holds(account) ?? false,
    report: () => pollers?.report() ?? [],
    async stop() {
      isStopped = true
      await pollers?.stop()
    },
  }
}

/** What the poller of an account reads of Afilnet: in the background, as the account is configured at that moment. */
export function readsOf(upstream: Pick<Upstream, 'open'>, account: string): AfilnetReads {
  const open = () => upstream.open(account)
  return {
    channels: () => orReadError(open().background(getChatChannels, {})),
    chats: ({ platform, platformId: platformid }, knownDigest) =>
      orEmpty(() => open().background(getChats, { platform, platformid }, knownDigest)),
    messages: ({ platform, platformId: platformid, destination }) =>
      orEmpty(() => open().background(getMessages, { platform, platformid, destination })),
  }
}

/** A channel without conversations, or a conversation that is gone, may be unknown to Afilnet. */
async function orEmpty<I>(read: () => Promise<List<I>>): Promise<List<I>> {
  const beganAt = Date.now()
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof UpstreamError) || error.fault !== faults.CHAT_NOT_FOUND) throw readErrorOf(error)
    return { items: [], digest: '', beganAt, endedAt: Date.now() }
  }
}

const orReadError = <T>(read: Promise<T>): Promise<T> =>
  read.catch(error => {
    throw readErrorOf(error)
  })

function readErrorOf(error: unknown): unknown {
  if (!(error instanceof UpstreamError)) return error
  const { fault, retryAfterS = 0 } = error
  return new ReadError(fault.code, { isTooLarge: fault === failures.responseTooLarge, retryAfterMs: retryAfterS * 1_000 })
}
