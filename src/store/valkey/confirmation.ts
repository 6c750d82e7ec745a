/**
 * Asks whether what was sent before has reached a replica; to be called in the turn of the event loop that sent it.
 *
 * WAIT blocks the connection, so what arrives meanwhile shares the next one. It speaks of writes of its own connection only.
 */
export function createConfirmation(wait: () => Promise<number>): () => Promise<boolean> {
  let next: Promise<boolean> | undefined
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    next ??= last
      .then(() => {
        next = undefined
        return wait()
      })
      .then(count => count > 0)
    last = next.catch(() => {})
    return next
  }
}
