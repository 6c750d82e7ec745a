import { withTimeout } from './timeout.ts'

/** A point in time that several steps share. */
type Deadline = {
  leftMs(): number
  /** Waits for the work until the deadline, at least a turn of the event loop; `false` if it has not ended by then, or has failed. */
  wait(work: Promise<unknown>): Promise<boolean>
}

export function createDeadline(ms: number): Deadline {
  const end = performance.now() + ms
  const leftMs = () => Math.max(0, end - performance.now())
  return {
    leftMs,
    wait: work =>
      withTimeout(leftMs(), work, () => new Error('too late')).then(
        () => true,
        () => false,
      ),
  }
}
