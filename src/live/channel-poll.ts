import { setImmediate as turn } from 'node:timers/promises'
import { pause } from '../lib/pause.ts'
import { gapEvent, type NewEvent } from '../store/event-log.ts'
import { fingerprintOf, markOf, newestOf, rowsByDestination } from './chat-rows.ts'
import { startAt } from './conversation.ts'
import { rowOf } from './identity.ts'
import { type ChannelState, channelKey, chatKey, type Known } from './known-states.ts'
import { type Channel, type List, type Message, ReadError } from './ports.ts'
import { ReadQueue } from './read-queue.ts'
import { writeState } from './state-text.ts'
import type { Term } from './term.ts'

const maxBackoffMs = 60_000
/** One poll that fails says little of a channel. */
const unreadableAfter = 3
const rowsPerTurn = 1_000
const statesPerAppend = 500
/** How far `readAt` may lag behind: a quiet channel writes nothing else. */
const readAtStepMs = 3_600_000
/** How long after a send its conversation is read again. */
const deliveryMs = 3_600_000

/** Polls one channel: getchats at each interval, getmessages for conversations whose last row changed. */
export class ChannelPoll {
  readonly #term: Term
  readonly #channel: Channel
  readonly #queue: ReadQueue
  /** The mark of the row up to which each conversation was read. */
  readonly #marks: Map<string, string>
  /** The row of each conversation at the last poll. */
  readonly #shown = new Map<string, number>()
  /** When a conversation that no poll has shown was first to be read again, oldest first. */
  readonly #unlistedSince = new Map<string, number>()
  #state: ChannelState | undefined
  #digest: string | undefined = undefined
  /** When the last answer of getchats was asked for. */
  #polledAt: number | undefined
  #failures = 0
  #tookMs = 0

  constructor(term: Term, channel: Channel, known: Known | undefined) {
    const marks = known?.marks ?? new Map<string, string>()
    this.#term = term
    this.#channel = channel
    this.#queue = new ReadQueue({ term, channel, onSettled: (destination, mark) => marks.set(destination, mark) })
    this.#marks = marks
    this.#state = known?.channel
    this.#polledAt = known?.channel?.readAt
  }

  get isReadable(): boolean {
    return this.#failures < unreadableAfter
  }

  /** What is known now, for a later poll of this channel. */
  get known(): Known {
    return { ...(this.#state && { channel: this.#state }), marks: this.#marks }
  }

  async run(signal: AbortSignal) {
    while (!signal.aborted) {
      const retryAfterMs = await this.#poll(signal)
      this.#queue.readDue()
      await pause(this.#pauseMs(retryAfterMs), signal)
    }
  }

  /** Reads a conversation although getchats shows no change in it. */
  reread(destination: string) {
    if (!this.#state || this.#queue.causeOf(destination)) return
    const mark = this.#marks.get(destination)
    if (mark === undefined && !this.#staysUnlisted(destination)) return
    this.#queue.add(destination, { mark, oldBefore: this.#state.newest, absentAt: undefined })
    this.#queue.readDue()
  }

  /**
   * Whether a poll that began after the first such request has not shown the conversation either.
   *
   * The poll that first shows a conversation knows the earliest time of its rows. If Afilnet never lists it, that time stays unknown.
   */
  #staysUnlisted(destination: string): boolean {
    const now = Date.now()
    for (const [name, since] of this.#unlistedSince) {
      if (now - since <= deliveryMs) break
      this.#unlistedSince.delete(name)
    }
    const since = this.#unlistedSince.get(destination) ?? now
    this.#unlistedSince.set(destination, since)
    return this.#polledAt !== undefined && this.#polledAt > since
  }

  /** How long it rests between two polls: a list that takes long is asked for less often. */
  get intervalMs(): number {
    return Math.max(this.#term.options.intervalMs, 10 * this.#tookMs)
  }

  #pauseMs(retryAfterMs: number) {
    const usualMs = this.intervalMs
    const backoffMs = Math.min(maxBackoffMs, Math.max(retryAfterMs, usualMs * 2 ** Math.min(this.#failures, 10)))
    return Math.max(usualMs, backoffMs) * (1 + 0.1 * Math.random()) // so that channels spread
  }

  /** Gives how long Afilnet wants to be left alone. */
  async #poll(signal: AbortSignal): Promise<number> {
    const { account, reads, observe } = this.#term.options
    try {
      const askedAt = performance.now()
      const list = await reads.chats(this.#channel, this.#digest)
      if (signal.aborted) return 0
      const startedAt = performance.now()
      const isBaseline = !this.#state
      await this.#take(list)
      const readMs = Math.min(list.endedAt - list.beganAt, startedAt - askedAt) // the wall clock may have been set meanwhile
      // What a baseline writes, it writes once.
      this.#tookMs = readMs + (isBaseline ? 0 : performance.now() - startedAt)
      if (this.#failures >= unreadableAfter) observe('channelStateChanged', { account, readable: true, code: undefined })
      this.#failures = 0
      observe('pollEnded', { account, ms: this.#tookMs, ok: true })
      return 0
    } catch (error) {
      if (!(error instanceof ReadError)) throw error
      if (++this.#failures === unreadableAfter) observe('channelStateChanged', { account, readable: false, code: error.code })
      observe('pollEnded', { account, ms: 0, ok: false })
      if (error.isTooLarge) observe('listTooLarge', { account })
      await this.#tellIfUnreadableForLong(Date.now())
      return error.retryAfterMs
    }
  }

  async #take({ items, digest, beganAt, endedAt }: List<Message>) {
    if (!this.#state) await this.#startAtBaseline(items ?? [], endedAt)
    else if (items) await this.#compare(items)
    if (!this.#state) return // the term is over
    await this.#tellIfUnreadableForLong(endedAt)
    const stepMs = Math.min(readAtStepMs, this.#term.options.keepMs / 10)
    if (this.#state.hasGap || Math.abs(endedAt - this.#state.readAt) > stepMs)
      await this.#save({ newest: this.#state.newest, readAt: endedAt })
    this.#digest = digest
    this.#polledAt = beganAt
  }

  /** At the first successful look, what there is now is known. The channel's own state comes last: half a baseline is made anew. */
  async #startAtBaseline(items: readonly Message[], at: number) {
    const { secret, markKey } = this.#term.options
    const states = [...rowsByDestination(this.#channel, items)].map(([destination, item]) => {
      const mark = markOf(item, markKey)
      this.#marks.set(destination, mark)
      const state = writeState({ mark, readAt: at, conversation: startAt(rowOf(item, secret)) })
      return { key: chatKey({ ...this.#channel, destination }), destination, state }
    })
    for (let from = 0; from < states.length; from += statesPerAppend) {
      if (!(await this.#term.append(states.slice(from, from + statesPerAppend), []))) return
    }
    await this.#save({ newest: newestOf(items), readAt: at })
  }

  async #compare(items: readonly Message[]) {
    const { secret, markKey } = this.#term.options
    let compared = 0
    for (const [destination, item] of rowsByDestination(this.#channel, items)) {
      if (++compared % rowsPerTurn === 0) await turn()
      const fingerprint = fingerprintOf(item)
      if (this.#shown.get(destination) === fingerprint) continue // it was compared then
      this.#shown.set(destination, fingerprint)
      const mark = markOf(item, markKey)
      const waiting = this.#queue.causeOf(destination)
      if ((waiting ?? { mark: this.#marks.get(destination) }).mark === mark) continue
      const absentAt = waiting ? waiting.absentAt : this.#polledAt
      // A state that is gone although the conversation was known has been forgotten on purpose, and must not be announced again.
      const oldBefore = this.#marks.has(destination) ? item.datetime : (this.#state?.newest ?? null)
      this.#unlistedSince.delete(destination)
      this.#queue.add(destination, { shown: rowOf(item, secret), mark, oldBefore, absentAt })
    }
  }

  /** Events of the time before may be gone, for those who have not read them. */
  async #tellIfUnreadableForLong(now: number) {
    const state = this.#state
    if (!state || state.hasGap || now - state.readAt <= this.#term.options.keepMs) return
    await this.#save({ ...state, hasGap: true }, gapEvent(now, 'channel-unreadable', this.#channel))
  }

  async #save(state: ChannelState, ...events: NewEvent[]) {
    const known = { key: channelKey(this.#channel), destination: null, state: JSON.stringify(state) }
    if (await this.#term.append([known], events)) this.#state = state
  }
}
