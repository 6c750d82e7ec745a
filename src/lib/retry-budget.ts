export type RetryBudget = {
  /** Takes note of a call. */
  called(): void
  /** Whether one more repetition is allowed; it counts as made. */
  take(): boolean
}

/** Allows repetitions for a tenth of the calls of the last ten seconds, and two in any case, so that an outage is not amplified. */
export function createRetryBudget(): RetryBudget {
  let calls = 0
  let repetitions = 0
  let startedAt = Date.now()
  return {
    called() {
      if (Date.now() - startedAt > 10_000) {
        startedAt = Date.now()
        calls = repetitions = 0
      }
      calls++
    },
    take() {
      if (repetitions + 1 > Math.max(2, calls / 10)) return false
      repetitions++
      return true
    },
  }
}
