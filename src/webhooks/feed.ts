import { type EventLog, gapEvent, type LoggedEvent, type LogMark } from '../store/event-log.ts'
import type { Clock } from './ports.ts'
import type { WebhookState } from './saved-state.ts'
import { createWindow, type Entry, entryOf } from './window.ts'

export type Feed = ReturnType<typeof createFeed>

const pageEvents = 200
/** If fewer events wait, a part of a page is read too. */
const few = 64

/** Where a webhook without a past begins: now. */
export async function startNow(log: EventLog, account: string): Promise<WebhookState> {
  const { mark } = await log.read(account, Number.MAX_SAFE_INTEGER - 1, 1)
  return { identity: mark?.identity ?? '', position: mark?.last ?? 0, done: [], again: [], tried: [] }
}

/** Where one begins whose state was lost with a log: before all that the next log has, after a gap. */
export const startAfterLoss = (identity: string): WebhookState => ({ identity, position: 0, done: [], again: [], tried: [] })

/** What a webhook reads of the log of its account, from where it was. */
export function createFeed(
  { log, account, clock, wants }: { log: EventLog; account: string; clock: Clock; wants: (event: LoggedEvent) => boolean },
  state: WebhookState,
) {
  let window = createWindow(state.position, state.done)
  let { identity } = state
  let [news, seen] = [1, 0]
  /** The log was replaced: its events wait until the last attempt of the old ones has ended. */
  let replaced = false
  const tried = new Map(state.tried.map(({ position, ...attempts }) => [position, attempts]))

  /** An entry goes on with the attempts that it had before the process changed, once: what is delivered again begins anew. */
  function recall(entry: Entry | undefined) {
    if (!entry) return
    Object.assign(entry, tried.get(entry.event.position))
    tried.delete(entry.event.position)
  }

  return {
    window: () => window,
    /** The log that the positions belong to. */
    identity: () => identity,

    /** Whether there is more to read, and room for it; `idle` says that nothing is in flight. All that waits may be of one conversation. */
    needs: (idle: boolean) => news > seen && window.room() >= (window.entries.length < few ? 1 : pageEvents) && (idle || !replaced),

    /** Reads a page. */
    async fill(idle: boolean) {
      const upTo = news
      const learntAt = clock.monotonic()
      const { mark, events } = await log.read(account, window.read(), Math.min(pageEvents, window.room()))
      if (!mark) {
        seen = upTo
        return
      }
      const gap = gapFor(mark, identity, window.read())
      replaced = gap?.reason === 'log-replaced'
      if (replaced && !idle) return
      if (gap && replaced) window = createWindow(gap.position - 1)
      replaced = false
      identity = mark.identity
      if (gap) window.add({ ...gapEvent(clock.now(), gap.reason), position: gap.position }, true, learntAt)
      else for (const event of events) recall(window.add(event, wants(event), learntAt))
      if (!gap && (events.length === 0 || window.read() >= mark.last)) seen = upTo
    },

    /** There are new events. */
    news() {
      news++
    },

    /** Begins again after a position. */
    rewind(position: number) {
      window = createWindow(position)
      news++
    },

    /** Puts these events back among those that wait; returns those that the log still has and the webhook still wants. */
    async restore(positions: readonly number[]): Promise<number[]> {
      const found: number[] = []
      for (const position of positions) {
        const [event] = (await log.read(account, position - 1, 1)).events
        if (event?.position !== position || !wants(event)) continue
        const entry = entryOf(event, clock.monotonic())
        recall(entry)
        window.restore(entry)
        found.push(position)
      }
      return found
    },
  }
}

/** Whether something is missing between what was read and what the log has now. */
function gapFor(mark: LogMark, identity: string, read: number): { position: number; reason: string } | undefined {
  if (identity !== '' && mark.identity !== identity) return { position: mark.trimmed, reason: 'log-replaced' }
  if (read < mark.trimmed) return { position: mark.trimmed, reason: 'retention' }
  return read > mark.last ? { position: mark.trimmed, reason: 'log-replaced' } : undefined
}
