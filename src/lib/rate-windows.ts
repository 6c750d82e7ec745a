/** How a key stands in its window. */
export type RateStatus = { max: number; remaining: number; resetMs: number; isExceeded: boolean }

type Window = { count: number; endsAt: number }

/**
 * Counts events in a window of its own for each key, which begins with its first event.
 *
 * Beyond `maxKeys` the oldest window is forgotten: it is the one that ends first.
 */
export function createRateWindows({ windowMs, maxKeys }: { windowMs: number; maxKeys: number }) {
  const windows = new Map<string, Window>()

  function windowOf(key: string, now: number): Window {
    const current = windows.get(key)
    if (current && current.endsAt > now) return current
    windows.delete(key) // so that the map stays in the order of beginnings
    const [oldest] = windows.size >= maxKeys ? windows.keys() : []
    if (oldest !== undefined) windows.delete(oldest)
    const begun = { count: 0, endsAt: now + windowMs }
    windows.set(key, begun)
    return begun
  }

  return {
    count(key: string, max: number): RateStatus {
      const now = Math.floor(performance.now()) // whole milliseconds: with fractions, a new window can seem longer than it is
      const window = windowOf(key, now)
      window.count++
      return { max, remaining: Math.max(0, max - window.count), resetMs: window.endsAt - now, isExceeded: window.count > max }
    },
  }
}
