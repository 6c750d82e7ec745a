/**
 * Watches whether a server from which answers are due sends anything at all.
 *
 * A busy server is not a lost one: as long as any answer comes, all of them are waited for. `onSilent` is called once per silence.
 */
export function createWatchdog(silentMs: number, onSilent: () => Error) {
  const waiting = new Set<(error: Error) => void>()
  let aliveAt = 0
  let armed = false

  function markAlive() {
    aliveAt = performance.now()
  }
  function armWatchdog() {
    if (armed) return
    armed = true
    // After a turn of the event loop: had that been held up itself, answers would lie there unread
    setTimeout(() => setImmediate(checkWatchdog), Math.max(0, aliveAt + silentMs - performance.now())).unref()
  }
  function checkWatchdog() {
    armed = false
    if (waiting.size === 0) return
    if (performance.now() < aliveAt + silentMs) return armWatchdog()
    const error = onSilent()
    for (const reject of waiting) reject(error)
  }

  return {
    markAlive,
    /** Waits for an answer, but rejects with `onSilent`'s error once the server is silent for too long, however many answers are due. */
    listen: <T>(answer: Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        if (waiting.size === 0) markAlive()
        waiting.add(reject)
        armWatchdog()
        answer
          .then(resolve, reject)
          .then(() => waiting.delete(reject))
          .then(markAlive)
      }),
  }
}
