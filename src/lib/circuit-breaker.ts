/** What the end of a call proves: that calls fail, that they are answered, or nothing, for example because it was never made. */
export type Verdict = 'failed' | 'answered' | 'nothing'

/** Decides when a closed circuit opens. */
type OpenRule = {
  /** Counts the end of a call; returns whether the circuit must open. */
  record(failed: boolean): boolean
  reset(): void
}

type CircuitBreakerOptions = {
  rule: OpenRule
  /** The wait before the first probe; it doubles with each probe that fails, up to `maxProbeMs`. */
  firstProbeMs: number
  maxProbeMs: number
  /** The wait after a probe that proved nothing. */
  inconclusiveMs: number
  /** Called when the circuit opens and when it closes. */
  onStateChange: (open: boolean) => void
}

/** Names the state of the circuit in which a call began. */
export type Ticket = number

/** Whether the call began as a probe. */
export const isProbe = (ticket: Ticket) => (ticket & 1) === 1

/**
 * Holds calls back while they fail, and lets one probe at a time find out whether they still do.
 *
 * A call reports its beginning and its end synchronously: a promise and its closures for each call cost more than all the counting.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: 'closed' | 'open' | 'probing' = 'closed'
  #openings = 0
  #probeMs = 0
  #openedAt = 0
  #waitMs = 0

  constructor(options: CircuitBreakerOptions) {
    this.#options = options
  }

  /** Seconds until another call may be tried; `undefined` if one may be tried now. */
  get retryAfterS(): number | undefined {
    if (this.#state === 'closed') return undefined
    if (this.#state === 'probing') return 1
    const openMs = Date.now() - this.#openedAt
    const leftMs = openMs < 0 ? 0 : this.#waitMs - openMs // a clock that went back must not make the wait longer
    return leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined
  }

  /** Whether calls failed, and none has proved since that they no longer do. */
  get isOpen(): boolean {
    return this.#state !== 'closed'
  }

  /** A call begins. Ask `retryAfterS` first. The first one while the circuit is open is the probe. */
  begin(): Ticket {
    if (this.#state !== 'open') return this.#openings * 2
    this.#state = 'probing'
    return this.#openings * 2 + 1
  }

  /** A call ends. One that began before the circuit opened proves nothing any more. */
  end(ticket: Ticket, verdict: Verdict) {
    if (ticket >> 1 !== this.#openings) return
    if (isProbe(ticket)) return this.#endProbe(verdict)
    if (this.#state !== 'closed' || verdict === 'nothing') return
    const { rule, firstProbeMs, onStateChange } = this.#options
    if (!rule.record(verdict === 'failed')) return
    this.#probeMs = firstProbeMs
    this.#open(firstProbeMs)
    onStateChange(true)
  }

  #endProbe(verdict: Verdict) {
    const { rule, maxProbeMs, inconclusiveMs, onStateChange } = this.#options
    if (verdict === 'nothing') return this.#open(inconclusiveMs)
    if (verdict === 'failed') {
      this.#probeMs = Math.min(this.#probeMs * 2, maxProbeMs)
      return this.#open(this.#probeMs)
    }
    this.#state = 'closed'
    rule.reset()
    rule.record(false)
    onStateChange(false)
  }

  #open(waitMs: number) {
    this.#state = 'open'
    this.#openings++
    this.#openedAt = Date.now()
    this.#waitMs = waitMs
  }
}

/** Opens when, of at least `minCalls` calls that ended within `windowMs`, half or more failed; counts in hundredths of the window. */
export function halfOfRecent({ windowMs, minCalls }: { windowMs: number; minCalls: number }): OpenRule {
  const parts = 100
  const calls = new Uint32Array(parts)
  const failures = new Uint32Array(parts)
  let latest = 0
  let allCalls = 0
  let allFailures = 0
  function reset() {
    calls.fill(0)
    failures.fill(0)
    allCalls = allFailures = 0
  }
  function advance(now: number) {
    if (now - latest >= parts || now < latest)
      reset() // a clock that went back makes the counts worthless
    else
      for (let part = latest + 1; part <= now; part++) {
        allCalls -= calls[part % parts] ?? 0
        allFailures -= failures[part % parts] ?? 0
        calls[part % parts] = failures[part % parts] = 0
      }
    latest = now
  }
  return {
    reset,
    record(failed) {
      const now = Math.floor((Date.now() * parts) / windowMs)
      if (now !== latest) advance(now)
      calls[now % parts] = (calls[now % parts] ?? 0) + 1
      allCalls++
      if (!failed) return false
      failures[now % parts] = (failures[now % parts] ?? 0) + 1
      allFailures++
      return allCalls >= minCalls && allFailures * 2 >= allCalls
    },
  }
}

/** Opens at the first failure. */
export const atFirstFailure: OpenRule = { record: failed => failed, reset() {} }
