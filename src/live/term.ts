import type { Observe } from '../events.ts'
import type { EventLog, KnownState, NewEvent } from '../store/event-log.ts'
import { StoreUnavailableError, within } from '../store/store.ts'
import type { AfilnetReads, PollerHooks } from './ports.ts'

export type TermOptions = {
  account: string
  log: EventLog
  lease: { name: string; fence: number }
  /** Keys the digests of rows, and the marks of conversations. */
  secret: Uint8Array
  markKey: string
  /** `EVENTS_KEEP_HOURS` in milliseconds. */
  keepMs: number
  intervalMs: number
  reads: AfilnetReads
  hooks: PollerHooks
  observe: Observe
  storeTimeoutMs: number
}

/** The time for which this process polls an account: it ends with the lease, or when the store fails. */
export class Term {
  readonly options: Readonly<TermOptions>
  readonly #controller = new AbortController()
  /** Votes for the direction of lists: positive if the newest row comes first. */
  #votes = 0

  constructor(options: TermOptions) {
    this.options = options
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  end() {
    this.#controller.abort()
  }

  /** Ends because of an error; what the store holds is then read anew. The store reports its own failures. */
  fail(err: unknown) {
    const { account, observe } = this.options
    if (!(err instanceof StoreUnavailableError) && !this.signal.aborted) observe('pollingFailed', { account, err })
    this.end()
  }

  /** Appends under the lease; `false` if the term is over, and nothing was applied. */
  async append(states: readonly KnownState[], events: readonly NewEvent[]): Promise<boolean> {
    const { account, log, lease, storeTimeoutMs, observe } = this.options
    if (this.signal.aborted) return false
    try {
      const positions = await within(storeTimeoutMs, log.append(account, { lease, states, events }))
      if (!positions) this.end()
      else
        for (const [type, { length }] of Object.entries(Object.groupBy(events, ({ type }) => type)))
          observe('eventsAppended', { account, type, count: length })
      return positions !== undefined
    } catch (error) {
      this.fail(error)
      return false
    }
  }

  /** The direction that most lists of the account have shown. */
  get isDescending(): boolean | undefined {
    return this.#votes === 0 ? undefined : this.#votes > 0
  }

  voteForDirection(isDescending: boolean | undefined) {
    if (isDescending !== undefined) this.#votes = Math.max(-5, Math.min(5, this.#votes + (isDescending ? 1 : -1)))
  }
}
