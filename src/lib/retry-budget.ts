/** Allows retries for a tenth of the calls of the last ten seconds, and two in any case, so that retries do not amplify an outage. */
export class RetryBudget {
  #calls = 0
  #retries = 0
  #startedAt = Date.now()

  recordCall() {
    const now = Date.now()
    if (Math.abs(now - this.#startedAt) > 10_000) {
      this.#startedAt = now
      this.#calls = this.#retries = 0
    }
    this.#calls++
  }

  /** Whether one more retry is allowed; it counts as made. */
  take(): boolean {
    if (this.#retries + 1 > Math.max(2, this.#calls / 10)) return false
    this.#retries++
    return true
  }
}
