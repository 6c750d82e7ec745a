import type { LoggedEvent } from '../store/event-log.ts'
import { isAhead } from './verdict.ts'

/** An event on its way to an endpoint. */
export type Entry = {
  event: LoggedEvent
  attempts: number
  /** How often in its present turn the endpoint refused it. */
  refusals: number
  /** How much the endpoint had accepted when it refused this event without being known to accept others. */
  suspectedAt?: number
  /** How often it was refused while the endpoint was taken to refuse everything. */
  probes: number
  notBefore: number
  inFlight: boolean
  lastStatus: number | null
  lastError: string | null
  lastAttemptAt: number
  /** When this process read it from the log, by the clock that never jumps. */
  learntAt: number
}

/** What may be attempted now, or else when something may. */
type Next = { entry: Entry; at?: never } | { entry?: never; at: number }

export type Window = ReturnType<typeof createWindow>

/** How many events may overtake one that waits. */
const most = 1_000

/** Whether an event is a gap that was made for one webhook: the log has none of these. */
export const isMade = ({ reason }: LoggedEvent) => reason === 'retention' || reason === 'log-replaced'

/** What an event is in order with. A gap without a conversation is in order with all. */
const chatOf = ({ platform, platformId, destination }: LoggedEvent) =>
  destination === null ? undefined : JSON.stringify([platform, platformId, destination])

export const entryOf = (event: LoggedEvent, learntAt: number): Entry => ({
  event,
  attempts: 0,
  refusals: 0,
  probes: 0,
  notBefore: 0,
  inFlight: false,
  lastStatus: null,
  lastError: null,
  lastAttemptAt: 0,
  learntAt,
})

/** The events between the first that is not delivered and the last that was read, in order of their positions. */
export function createWindow(position: number, delivered: Iterable<number> = []) {
  const entries: Entry[] = []
  const done = new Set(delivered)
  let read = position
  /** What is older than this was settled before and is here again. */
  let settled = position

  function advance() {
    const first = entries.find(({ event }) => event.position > settled)
    settled = first ? first.event.position - 1 : read
    for (const position of done) if (position <= settled) done.delete(position)
  }

  return {
    entries: entries as readonly Entry[],
    /** How far the log has been read. */
    read: () => read,
    /** How much may be read: what was settled before and waits again holds up nothing that is new. */
    room() {
      if (entries.length + done.size >= most) advance()
      return most - entries.filter(({ event }) => event.position > settled).length - done.size
    },

    /** Takes the next event of the log; one that is not for this webhook is only passed. A gap that was made stands where one was delivered. */
    add(event: LoggedEvent, wanted: boolean, learntAt: number): Entry | undefined {
      read = event.position
      if (!wanted || (done.has(event.position) && !isMade(event))) return undefined
      const entry = entryOf(event, learntAt)
      entries.push(entry)
      return entry
    },

    /** Puts an event that was settled back among those that wait. */
    restore(entry: Entry) {
      done.delete(entry.event.position)
      const at = entries.findLastIndex(({ event }) => event.position <= entry.event.position)
      if (entries[at]?.event.position !== entry.event.position) entries.splice(at + 1, 0, entry)
    },

    settle(entry: Entry) {
      const at = entries.indexOf(entry)
      if (at < 0) return // of a log that was replaced
      entries.splice(at, 1)
      if (entry.event.position > settled) done.add(entry.event.position)
    },

    /** The first event that may go, never before another one of its conversation. */
    next(now: number): Next {
      const held = new Set<string | undefined>()
      let at = Number.POSITIVE_INFINITY
      for (const entry of entries) {
        const chat = chatOf(entry.event)
        if (!entry.inFlight && !held.has(chat)) {
          if (chat === undefined && held.size > 0) break // a gap waits for what is before it
          if (!isAhead(entry.notBefore, now)) return { entry }
          at = Math.min(at, entry.notBefore)
        }
        if (chat === undefined) break // and what is after it waits for a gap
        held.add(chat)
      }
      return { at }
    },

    /** Everything up to this position is settled, except for `again`; after it, `done` is. */
    progress() {
      advance()
      return {
        position: settled,
        done: [...done],
        again: entries.filter(({ event }) => event.position <= settled).map(e => e.event.position),
      }
    },
  }
}
