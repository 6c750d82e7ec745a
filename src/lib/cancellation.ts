export type CancelListener = { onCancelled(reason: Error): void }

/** Says that no caller waits for a piece of work any more. An AbortSignal does the same at ten times the cost. */
export class Cancellation {
  /** Why, once the work is cancelled. */
  reason: Error | undefined = undefined
  /** There is one, since a request waits for one thing at a time. */
  listener: CancelListener | undefined = undefined

  /** The first reason counts. */
  cancel(reason: Error) {
    if (this.reason) return
    this.reason = reason
    this.listener?.onCancelled(reason)
  }
}
