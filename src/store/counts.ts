/** The states in which a send does not count against its caller's quota. */
export const uncounted: readonly string[] = ['rejected', 'not_sent', 'canceled', 'expired']

/** Each attempt leaves a row, also one that does not count for the quota: so there are bounds to them, too. */
export const attemptsOf = (perDay: number) => 10 * perDay + 100

/** A late answer may still settle a send of an old day, but its count is no longer needed. */
export const keepCountsMs = 7 * 86_400_000
