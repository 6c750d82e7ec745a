/** Tells that nobody waits any more. An AbortSignal says the same, at a tenth of the cost of a whole read for its events. */
export type Departure = {
  /** Why, once it is so. */
  readonly reason: Error | undefined
  /** Calls the listener when it comes to that; returns what takes the listener away. */
  listen(listener: () => void): () => void
}

export function createDeparture(): Departure & { leave(reason: Error): void } {
  const listeners = new Set<() => void>()
  let why: Error | undefined
  return {
    get reason() {
      return why
    },
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    leave(reason) {
      if (why) return
      why = reason
      for (const listener of listeners) listener()
    },
  }
}
