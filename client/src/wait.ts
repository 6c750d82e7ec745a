/** Waits, or rejects with the signal's reason. */
export function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  })
}

/** The longest advice to follow: a daily quota says to come back in hours. */
export const longestMs = 60_000

/** The gateway's own advice, or 1 s doubling to 30 s; up to half of it more, so that many clients do not come back at once. */
export const delayMs = (attempt: number, retryAfterMs?: number) =>
  Math.min(retryAfterMs ?? Math.min(1000 * 2 ** (attempt - 1), 30_000), longestMs) * (1 + Math.random() / 2)
