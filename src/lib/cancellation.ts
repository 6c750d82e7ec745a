export type CancelListener = { onCancelled(reason: Error): void }

/**
 * Says that no caller waits for a piece of work any more. An AbortSignal does the same at ten times the cost.
 *
 * It has room for one listener: a request waits for one thing at a time.
 */
export class Cancellation {
  /** Why, once the work is cancelled. */
  reason: Error | undefined = undefined
  #listener: CancelListener | undefined = undefined

  onCancel(listener: CancelListener) {
    this.#listener = listener
  }

  unsubscribe() {
    this.#listener = undefined
  }

  /** The first reason counts. */
  cancel(reason: Error) {
    if (this.reason) return
    this.reason = reason
    this.#listener?.onCancelled(reason)
  }
}
