import { Feed, type FeedOptions } from './feed.ts'

type Options = FeedOptions & { isUsed: () => boolean }

const idleMs = 60_000

/** The feed of an account, which is open while it has consumers, and for a minute after the last. */
export class OpenFeed {
  readonly #options: Options
  #feed: Promise<Feed> | undefined
  #idle: NodeJS.Timeout | undefined

  constructor(options: Options) {
    this.#options = options
  }

  /** Opens it, unless it is open. Rejects while the store is away. */
  open(): Promise<Feed> {
    if (!this.#feed) {
      const feed = new Feed(this.#options)
      const opening = feed.open().then(() => feed)
      this.#feed = opening
      opening.catch(() => {
        if (this.#feed === opening) this.#feed = undefined
      })
    }
    this.closeIfIdle()
    return this.#feed
  }

  /** Closes it after a minute, unless it is used by then. */
  closeIfIdle() {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      if (!this.#options.isUsed()) this.close()
    }, idleMs).unref()
  }

  close() {
    clearTimeout(this.#idle)
    void this.#feed?.then(feed => feed.close()).catch(() => {})
    this.#feed = undefined
  }
}
