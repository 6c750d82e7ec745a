/** Says that nobody waits for a piece of work any more. An AbortSignal does the same at ten times the cost. */
export class Cancellation {
  /** Why, once the work is cancelled. */
  reason: Error | undefined = undefined
  readonly #listeners = new Set<() => void>()

  /** Calls the listener on cancellation; returns `unsubscribe`. */
  onCancel(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** The first reason counts. */
  cancel(reason: Error) {
    if (this.reason) return
    this.reason = reason
    for (const listener of this.#listeners) listener()
  }
}
