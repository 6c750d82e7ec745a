import {
  CircuitState,
  circuitBreaker,
  DelegateBackoff,
  handleWhenResult,
  type IBreaker,
  type IHalfOpenAfterBackoffContext,
} from 'cockatiel'

export type Breaker = {
  /** Seconds until another call may be tried, or `undefined` if one may be now. */
  closedForS(): number | undefined
  /** Whether calls failed, and none has proved since that they no longer do. */
  tripped(): boolean
  /** Runs the call and takes note of how it ends. Ask `closedForS` first. */
  run<T>(call: () => Promise<T>): Promise<T>
}

/** What the end of a call proves: that calls fail, that they do not, or nothing, as where it was never made. */
export type Verdict = 'failed' | 'answered' | 'nothing'

type BreakerOptions = {
  /** What an error proves. */
  verdict: (error: unknown) => Verdict
  decides: IBreaker
  /** The wait before the first probe; it doubles with each probe that fails, up to `maxProbeMs`. */
  firstProbeMs: number
  maxProbeMs: number
  /** The wait after a probe that proved nothing. */
  againMs: number
  /** Told when calls begin to be held back, and when they no longer are. */
  moved?: (open: boolean) => void
}

type End<T> = { verdict: Verdict; tell: () => T }

/** Holds calls back while they fail, and lets one probe at a time find out whether they still do. */
export function createBreaker({ verdict, decides, firstProbeMs, maxProbeMs, againMs, moved = () => {} }: BreakerOptions): Breaker {
  let openings = 0
  let doubledMs = 0
  let waitMs = 0
  let probeAt = 0
  const halfOpenAfter = new DelegateBackoff(({ attempt, result }: IHalfOpenAfterBackoffContext) => {
    const failed = 'value' in result && (result.value as End<unknown>).verdict === 'failed' // run below gives it nothing else
    if (failed) doubledMs = attempt === 1 ? firstProbeMs : Math.min(doubledMs * 2, maxProbeMs)
    waitMs = failed ? doubledMs : againMs
    return waitMs
  })
  const policy = circuitBreaker(
    handleWhenResult(end => (end as End<unknown>).verdict !== 'answered'),
    { breaker: decides, halfOpenAfter },
  )
  let held = false
  policy.onBreak(() => {
    openings++
    if (!held) moved(true) // a probe that fails opens it again
    held = true
    probeAt = Date.now() + waitMs // the library has read its own clock by now, and would throw at a probe that is early
  })
  policy.onReset(() => {
    held = false
    moved(false)
  })
  return {
    closedForS() {
      // The library would let others wait for the probe; they are refused at once instead.
      if (policy.state === CircuitState.HalfOpen) return 1
      const leftMs = probeAt - Date.now()
      return policy.state === CircuitState.Open && leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined
    },
    tripped: () => policy.state !== CircuitState.Closed,
    async run<T>(call: () => Promise<T>) {
      const probing = policy.state !== CircuitState.Closed
      const begun = openings
      const { tell } = await policy.execute(async (): Promise<End<T>> => {
        try {
          const value = await call()
          return { verdict: 'answered', tell: () => value }
        } catch (error) {
          // What fails after an opening that it did not see is old news, which must neither end a probe nor open the circuit again.
          const proved = begun === openings ? verdict(error) : 'nothing'
          // The library takes a thrown error for no evidence while it is closed, but for a success of a probe.
          if (proved === 'nothing' && !probing) throw error
          return {
            verdict: proved,
            tell: () => {
              throw error
            },
          }
        }
      })
      return tell()
    },
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
