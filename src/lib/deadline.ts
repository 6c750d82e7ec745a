/** A point in time that several steps share. */
export type Deadline = {
  leftMs(): number
  /** Waits for the work until the deadline, at least a turn of the event loop; `false` if it has not ended by then, or has failed. */
  wait(work: Promise<unknown>): Promise<boolean>
}

export function createDeadline(ms: number): Deadline {
  const end = performance.now() + ms
  const leftMs = () => Math.max(0, end - performance.now())
  return {
    leftMs,
    wait(work) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const timer = setTimeout(() => setImmediate(resolve, false), leftMs())
      work
        .then(
          () => resolve(true),
          () => resolve(false),
        )
        .finally(() => clearTimeout(timer))
      return promise
    },
  }
}
