/** Lets tests and the control port wait for what happens. */
export function createWatchers() {
  const watchers = new Set<() => void>()
  return {
    /** Checks every condition that is waited for. */
    changed: () => {
      for (const watcher of watchers) watcher()
    },

    /** Resolves as soon as `condition` holds after a change; rejects with `what` when it takes too long. */
    until: (condition: () => boolean, what: () => string, timeoutMs = 5000) =>
      new Promise<void>((resolve, reject) => {
        const settle = (end: () => void) => {
          clearTimeout(timer)
          watchers.delete(watcher)
          end()
        }
        const watcher = () => condition() && settle(resolve)
        const timer = setTimeout(() => settle(() => reject(new Error(`${what()} within ${timeoutMs} ms`))), timeoutMs)
        watchers.add(watcher)
        watcher()
      }),
  }
}
