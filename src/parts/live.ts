import { type Fault, faults, UpstreamError } from '../afilnet/faults.ts'
import { getMessages } from '../afilnet/operations.ts'
import { baseOf } from '../app.ts'
import type { Config } from '../config/config.ts'
import type { Observe } from '../events.ts'
import type { Live, Watched } from '../live/live.ts'
import type { ReadConversation } from '../live/texts.ts'
import { describeSend } from '../sends/outcome.ts'
import type { EventStore } from '../store/event-log.ts'
import type { Upstream } from '../upstream/upstream.ts'

type LiveParts = {
  config: Config
  store: Pick<EventStore, 'log' | 'deliveries'>
  secret: () => Promise<Uint8Array>
  upstream: Pick<Upstream, 'open'>
  observe: Observe
}

const trimEveryMs = 60_000

/** The delivery of events; loaded with the first account that has some. */
export type LivePart = { current: () => Live | undefined; reload(config: Config): Promise<void>; close(): void }

export async function openLive({ config, store: { log, deliveries }, secret, upstream, observe }: LiveParts): Promise<LivePart> {
  const base = baseOf(config)
  let live: Live | undefined
  let isClosed = false
  // Every process does it, so that none has to know whether another one lives.
  const timer = setInterval(() => trim().catch(() => {}), trimEveryMs).unref()

  /** A process without events leaves alone what others use, and deletes what is left where there are no events any more. */
  async function trim() {
    await log.trim(config.eventsKeepMs, live ? undefined : 'unused')
    if (live || (await log.accounts()).length === 0) await deliveries.deleteFailed(config.eventsKeepMs)
  }

  async function reload(next: Config) {
    const watched = watchedBy(next)
    if (!live && watched.accounts.size === 0) return
    const { Live } = await import('../live/live.ts')
    if (isClosed) return
    if (live) return live.reload(watched)
    live = new Live({
      log,
      secret,
      readConversation: conversationsOf(upstream),
      describeSend: row => describeSend(row, base),
      watched,
      onDelivered: (account, lagMs) => observe('eventDelivered', { account, lagMs }),
    })
  }

  await reload(config)
  return {
    current: () => live,
    reload,
    close() {
      isClosed = true
      clearInterval(timer)
      live?.close()
    },
  }
}

/** A caller whose keys, rights or limits change, or that is disabled, counts as another caller. */
const watchedBy = ({ accounts, callers }: Config): Watched => ({
  accounts: new Map(Object.entries(accounts).flatMap(([name, { events }]) => (events ? [[name, JSON.stringify(events)]] : []))),
  callers: new Map(Object.entries(callers).map(([name, caller]) => [name, JSON.stringify(caller)])),
})

/** Answers that say that no row of the conversation is listed any more. */
const gone = new Set<Fault>([faults.CHAT_NOT_FOUND, faults.CHANNEL_NOT_FOUND])

/** Behind callers, never shared with theirs and never from the cache: an answer must not be older than the event. */
const conversationsOf =
  (upstream: Pick<Upstream, 'open'>): ReadConversation =>
  async (account, { platform, platformId: platformid, destination }) => {
    try {
      return await upstream.open(account).background(getMessages, { platform, platformid, destination })
    } catch (error) {
      if (!(error instanceof UpstreamError) || !gone.has(error.fault)) throw error
      return { items: [], digest: '', beganAt: Date.now(), endedAt: Date.now() }
    }
  }
