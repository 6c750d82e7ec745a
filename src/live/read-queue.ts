import { gapEvent } from '../store/event-log.ts'
import { type Cause, readConversation } from './conversation-read.ts'
import { type Channel, ReadError } from './ports.ts'
import type { Term } from './term.ts'

/** Times are those of `performance.now`. */
type Waiting = Cause & {
  since: number
  tries: number
  /** When to try again. */
  dueAt: number
}

/** How long a conversation is read again because its list does not hold the row that getchats shows. */
const maxUnsettledMs = 60_000
const maxRetryMs = 60_000
/** Calls wait for slots anyway, but their answers take memory. */
const maxReads = 64

type Options = {
  term: Term
  channel: Channel
  /** The conversation was read up to the row of this mark. */
  onSettled: (destination: string, mark: string) => void
}

/** The conversations of a channel that are to be read, each once at a time. */
export class ReadQueue {
  readonly #options: Options
  readonly #waiting = new Map<string, Waiting>()
  readonly #reading = new Set<string>()

  constructor(options: Options) {
    this.#options = options
  }

  /** What a conversation waits for. */
  causeOf(destination: string): Cause | undefined {
    return this.#waiting.get(destination)
  }

  add(destination: string, cause: Cause) {
    this.#waiting.set(destination, { ...cause, since: performance.now(), tries: 0, dueAt: 0 })
  }

  /** Begins all reads that are due, as far as there is room. */
  readDue() {
    const now = performance.now()
    for (const [destination, waiting] of this.#waiting) {
      if (this.#reading.size >= maxReads || this.#options.term.signal.aborted) return
      if (this.#reading.has(destination) || waiting.dueAt > now) continue
      this.#reading.add(destination)
      void this.#read(destination, waiting).then(() => {
        this.#reading.delete(destination)
        this.readDue()
      })
    }
  }

  async #read(destination: string, waiting: Waiting) {
    const { term, channel } = this.#options
    try {
      const result = await readConversation(term, { ...channel, destination }, waiting)
      if (!result) return
      if (result.isSettled || performance.now() - waiting.since > maxUnsettledMs) this.#settle(destination, waiting)
      else this.#retry(destination, waiting, term.options.intervalMs, result.beganAt)
    } catch (error) {
      if (!(error instanceof ReadError)) return term.fail(error)
      if (error.isTooLarge) return this.#giveUp(destination, waiting)
      const pauseMs = Math.min(maxRetryMs, Math.max(error.retryAfterMs, term.options.intervalMs * 2 ** Math.min(waiting.tries, 10)))
      this.#retry(destination, waiting, pauseMs, waiting.absentAt)
    }
  }

  /** Another row may have been shown since. */
  #settle(destination: string, { mark }: Waiting) {
    if (this.#waiting.get(destination)?.mark === mark) this.#waiting.delete(destination)
    if (mark !== undefined) this.#options.onSettled(destination, mark)
  }

  #retry(destination: string, waiting: Waiting, pauseMs: number, absentAt: number | undefined) {
    const next = this.#waiting.get(destination)
    if (next) this.#waiting.set(destination, { ...next, absentAt, tries: waiting.tries + 1, dueAt: performance.now() + pauseMs })
  }

  /** A list beyond the size limit stays one: it is read again when getchats shows another change. */
  async #giveUp(destination: string, waiting: Waiting) {
    const { term, channel } = this.#options
    term.options.observe('listTooLarge', { account: term.options.account })
    if (await term.append([], [gapEvent(Date.now(), 'list-too-large', { ...channel, destination })])) this.#settle(destination, waiting)
  }
}
