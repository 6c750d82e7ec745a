import type { Check } from './report.ts'

/** A check of an account's responses, to which the account is added. */
export type Line = Omit<Check, 'section' | 'account'>

/** How often each thing was seen. */
export type Counts = Record<string, number>

export function count(seen: readonly string[]): Counts {
  const counts: Counts = {}
  for (const one of seen) counts[one] = (counts[one] ?? 0) + 1
  return counts
}

export const describeCounts = (counts: Counts) =>
  Object.entries(counts)
    .map(([one, times]) => `${one} ×${times}`)
    .join(', ')

/** A note if something unexpected was seen. */
export function line(check: string, seen: Counts, expected: readonly string[]): Line {
  const asExpected = Object.keys(seen).every(one => expected.includes(one))
  return { check, verdict: asExpected ? 'ok' : 'note', detail: describeCounts(seen), facts: { seen } }
}
