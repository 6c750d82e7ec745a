import { type Feed, LogReplacedError } from './feed.ts'
import { Group, type GroupOptions, type Stream } from './stream.ts'
import type { View } from './view.ts'

type Options = { onDelivered: (lagMs: number) => void; onReplaced: () => void }

/** Many streams get what came within a moment together: a write for each event would cost more than the events. */
const pauseMs = (streams: number) => Math.min(25, streams / 80)

/** The streams of an account: those of a view that have caught up are one group, any other has a group of its own. */
export class Groups {
  readonly #options: Options
  readonly #shared = new Map<string, Group>()
  readonly #own = new Set<Group>()
  #pausedUntil = 0
  #paused: NodeJS.Timeout | undefined

  constructor(options: Options) {
    this.#options = options
  }

  get size(): number {
    return this.#shared.size + this.#own.size
  }

  get streams(): Stream[] {
    return this.#all.flatMap(({ streams }) => [...streams])
  }

  get #all(): Group[] {
    return [...this.#shared.values(), ...this.#own]
  }

  /** Gives a stream what is there, as fast as it takes that, and from then on what comes. */
  join(feed: Feed, view: View, stream: Stream, oldUpTo: number) {
    const group = this.#groupOf(feed, view, stream.position, oldUpTo)
    group.streams.add(stream)
    void this.#flush(group)
  }

  leave(stream: Stream) {
    stream.isOpen = false
    for (const [key, group] of this.#shared) if (group.streams.delete(stream) && group.streams.size === 0) this.#shared.delete(key)
    for (const group of this.#own) if (group.streams.delete(stream)) this.#own.delete(group)
  }

  /** Gives all streams what is new, now or in a moment. */
  flush() {
    const leftMs = this.#pausedUntil - performance.now()
    if (leftMs <= 1) this.#flushAll()
    else this.#paused ??= setTimeout(() => this.#flushAll(), leftMs).unref()
  }

  /** Ends every stream. */
  close() {
    clearTimeout(this.#paused)
    this.#paused = undefined
    const streams = this.streams
    this.#shared.clear()
    this.#own.clear()
    for (const stream of streams) stream.sink.end()
  }

  #flushAll() {
    clearTimeout(this.#paused)
    this.#paused = undefined
    let streams = 0
    for (const group of this.#all) {
      streams += group.streams.size
      void this.#flush(group)
    }
    this.#pausedUntil = performance.now() + pauseMs(streams)
  }

  #groupOf(feed: Feed, view: View, position: number, oldUpTo: number): Group {
    const shared = this.#shared.get(view.key)
    if (shared && shared.position === position && !shared.isRunning) return shared
    const onDelivered: GroupOptions['onDelivered'] = entries => {
      if (this.#own.has(group)) return // what is old says nothing of how long news take
      for (const { event } of entries) this.#options.onDelivered(Math.max(0, Date.now() - event.at))
    }
    const group = new Group({ feed, view, position, oldUpTo, onDelivered })
    if (!shared && position === feed.last && position >= oldUpTo) this.#shared.set(view.key, group)
    else this.#own.add(group)
    return group
  }

  async #flush(group: Group) {
    try {
      await group.flush()
    } catch (error) {
      if (error instanceof LogReplacedError) return this.#options.onReplaced()
      setTimeout(() => this.#flush(group), 1_000).unref() // the store is away
      return
    }
    if (this.#own.has(group)) this.#merge(group)
  }

  /** A stream that has caught up joins the others of its view. */
  #merge(group: Group) {
    const shared = this.#shared.get(group.view.key)
    if (shared && (shared.position !== group.position || shared.isRunning)) return
    this.#own.delete(group)
    if (!shared) this.#shared.set(group.view.key, group)
    else for (const stream of group.streams) shared.streams.add(stream)
  }
}
