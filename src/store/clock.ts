/** The time of the ledger. */
export type LedgerClock = ReturnType<typeof createClock>

const toleranceMs = 2_000
const settleMs = 600_000

/** Outcomes may come hours late, from an outage; one that is older was written under a clock that was wrong. */
const slackMs = 3_600_000

/** One reading of the clocks. */
export type Times = {
  /** The wall clock. */
  now: number
  /** The time by which rows expire: it follows the wall clock, but a jump of it only once the jump has lasted. */
  trusted: number
  /** The wall clock, or in the first ten minutes the time that the ledger remembers if that is later. */
  latest: number
  /** Whether both clocks have agreed for ten minutes. */
  mayDelete: boolean
  /** Whether both clocks agree now. */
  mayExpireLeases: boolean
}

/** When a send ended: an hour before `latest` at the earliest. By a clock that is far behind, it would expire and free its key once the clock is right again. */
export const endedAt = ({ now, latest }: Pick<Times, 'now' | 'latest'>, settledAt = now) =>
  settledAt < latest - slackMs ? latest : settledAt

/**
 * Watches the wall clock by the monotonic one.
 *
 * A clock that jumps forward would make rows look expired, and their keys would be free to send again. A new offset between the two clocks
 * therefore counts only after ten minutes. A process that starts while the clock is wrong has nothing to compare it with: so the first ten
 * minutes delete nothing, expire rows by the time that the ledger remembers, if it is earlier, and end sends by it, if it is later.
 */
export function createClock(now: () => number, monotonic: () => number) {
  let offset = now() - monotonic()
  let steadyAt = monotonic() + settleMs
  let ceiling = Number.POSITIVE_INFINITY
  let candidate: { offset: number; until: number } | undefined

  function update() {
    const at = monotonic()
    const wall = now()
    const found = wall - at
    if (candidate && Math.abs(found - candidate.offset) <= toleranceMs && at >= candidate.until) offset = found
    if (Math.abs(found - offset) <= toleranceMs) {
      offset = found
      candidate = undefined
    } else if (!candidate || Math.abs(found - candidate.offset) > toleranceMs) {
      steadyAt = at + settleMs
      candidate = { offset: found, until: steadyAt }
    }
    if (at >= steadyAt) ceiling = Number.POSITIVE_INFINITY
    return { at, wall }
  }

  return {
    read(): Times {
      const { at, wall } = update()
      const latest = ceiling === Number.POSITIVE_INFINITY ? offset : Math.max(offset, ceiling)
      const agrees = candidate === undefined
      return {
        now: wall,
        trusted: Math.floor(at + Math.min(offset, ceiling)),
        latest: Math.floor(at + latest),
        mayDelete: agrees && at >= steadyAt,
        mayExpireLeases: agrees,
      }
    },
    /** What time it was when a process last saw the ledger: until the clock is steady, time is taken to go on from there. */
    anchor(lastSeen: number) {
      const { at } = update()
      if (at < steadyAt && ceiling === Number.POSITIVE_INFINITY) ceiling = lastSeen - at
    },
  }
}
