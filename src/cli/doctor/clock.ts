import type { Check } from './report.ts'

/** When Afilnet says that it answered, and the two moments of this machine between which that was. */
export type Reading = { date: string | undefined; startedAt: number; endedAt: number }

const section = 'clock'

// Half a lease of the ledger: more, and processes on one store begin to take each other for dead.
const warnMs = 5_000
// No synchronised machine is that far off. Days of quotas, expiries and the order of ids are then wrong too.
const brokenMs = 60_000

/** The clock of this machine against Afilnet's; a `Date` has whole seconds, and the call itself takes a while. */
export function checkClock(readings: readonly Reading[]): Check {
  const differences = readings.flatMap(({ date, startedAt, endedAt }) => {
    const theirs = Date.parse(date ?? '')
    if (Number.isNaN(theirs)) return []
    return theirs > endedAt ? endedAt - theirs : Math.max(0, startedAt - (theirs + 1_000))
  })
  const [leastMs] = differences.toSorted((a, b) => Math.abs(a) - Math.abs(b))
  const named = { section, check: 'difference' }
  if (leastMs === undefined) return { ...named, verdict: 'skipped', detail: 'not checked: no answer of Afilnet told the time' }
  const apartS = Math.round(Math.abs(leastMs) / 1000)
  const facts = { differenceMs: leastMs }
  if (Math.abs(leastMs) <= warnMs) return { ...named, verdict: 'ok', detail: `within ${warnMs / 1000} s of Afilnet's`, facts }
  return {
    ...named,
    verdict: Math.abs(leastMs) > brokenMs ? 'broken' : 'warning',
    detail: `this machine is ${apartS} s ${leastMs > 0 ? 'ahead of' : 'behind'} Afilnet`,
    todo: 'Synchronise the clock (NTP): ids, daily quotas and how long sends are kept go by it',
    facts,
  }
}
