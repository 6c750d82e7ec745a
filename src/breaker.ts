import { CircuitState, circuitBreaker, DelegateBackoff, handleWhen, type IBreaker } from 'cockatiel'

export type Breaker = {
  /** Seconds until another call may be tried, or `undefined` if one may be now. */
  closedForS(): number | undefined
  /** Runs the call and takes note of how it ends. Ask `closedForS` first. */
  run<T>(call: () => Promise<T>): Promise<T>
}

type BreakerOptions = {
  /** The failures that count. What else a call may throw is an answer like any other. */
  counts: (error: unknown) => boolean
  decides: IBreaker
  /** The wait before the first probe; it doubles with each probe that fails, up to `maxProbeMs`. */
  firstProbeMs: number
  maxProbeMs: number
}

/** Holds calls back while they fail, and lets one probe at a time find out whether they still do. */
export function createBreaker({ counts, decides, firstProbeMs, maxProbeMs }: BreakerOptions): Breaker {
  let probeAt = 0
  const halfOpenAfter = new DelegateBackoff(({ attempt }: { attempt: number }) => {
    const delay = Math.min(firstProbeMs * 2 ** (attempt - 1), maxProbeMs)
    probeAt = Date.now() + delay
    return delay
  })
  const policy = circuitBreaker(handleWhen(counts), { breaker: decides, halfOpenAfter })
  return {
    closedForS() {
      // The library would let others wait for the probe; they are refused at once instead.
      if (policy.state === CircuitState.HalfOpen) return 1
      const waitMs = probeAt - Date.now()
      return policy.state === CircuitState.Open && waitMs > 0 ? Math.ceil(waitMs / 1000) : undefined
    },
    run: call => policy.execute(call),
  }
}

/**
 * Opens when, of at least `minCalls` calls that ended within `windowMs`, half or more failed.
 *
 * The library's own sampling keeps counts for longer than its window when calls are rare, and wants more than half.
 */
export function halfOfRecent({ windowMs, minCalls }: { windowMs: number; minCalls: number }): IBreaker {
  let ended: { at: number; failed: boolean }[] = []
  let begin = 0 // of what is recent in `ended`
  let failures = 0
  const forget = () => {
    if (ended[begin++]?.failed) failures--
    if (begin < 1_024) return
    ended = ended.slice(begin)
    begin = 0
  }
  const note = (failed: boolean) => {
    const now = Date.now()
    ended.push({ at: now, failed })
    if (failed) failures++
    while (now - (ended[begin]?.at ?? now) >= windowMs) forget()
  }
  return {
    state: undefined,
    success(state) {
      if (state === CircuitState.HalfOpen) while (begin < ended.length) forget()
      note(false)
    },
    failure(state) {
      note(true)
      const calls = ended.length - begin
      return state !== CircuitState.Closed || (calls >= minCalls && failures * 2 >= calls)
    },
  }
}

/** Opens at the first failure. */
export const atOnce = (): IBreaker => ({ state: undefined, success() {}, failure: () => true })
