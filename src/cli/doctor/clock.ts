import type { Check } from './report.ts'

/** The date in a response of Afilnet, and the start and end of the call by this machine's clock. */
export type Reading = { date: string | undefined; startedAt: number; endedAt: number }

// Half a lease of the ledger. Beyond a whole one, processes on one store take each other for dead.
const warnMs = 5_000
// No synchronised machine is that far off. Daily quotas, expiries and the order of ids are wrong then, too.
const brokenMs = 60_000

/** Compares this machine's clock with Afilnet's. A `Date` has whole seconds, and the call itself takes time. */
export function checkClock(readings: readonly Reading[]): Check {
  const differences = readings.flatMap(({ date, startedAt, endedAt }) => {
    const theirs = Date.parse(date ?? '')
    if (Number.isNaN(theirs)) return []
    return theirs > endedAt ? endedAt - theirs : Math.max(0, startedAt - (theirs + 1_000))
  })
  const [leastMs] = differences.toSorted((a, b) => Math.abs(a) - Math.abs(b))
  const named = { section: 'clock', check: 'difference' }
  if (leastMs === undefined) return { ...named, verdict: 'skipped', detail: 'not checked: no response of Afilnet had a date' }
  const apartS = Math.round(Math.abs(leastMs) / 1000)
  const facts = { differenceMs: leastMs }
  if (Math.abs(leastMs) <= warnMs)
    return { ...named, verdict: 'ok', detail: `differs from Afilnet's clock by ${warnMs / 1000} s at most`, facts }
  const detail = `the clock of this machine is ${apartS} s ${leastMs > 0 ? 'ahead of' : 'behind'} Afilnet's`
  const todo = 'Synchronise the clock (NTP): ids, daily quotas and the time that sends are kept depend on it'
  return { ...named, verdict: Math.abs(leastMs) > brokenMs ? 'broken' : 'warning', detail, todo, facts }
}
