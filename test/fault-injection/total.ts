import type { Tally } from './round.ts'

/** What a plain tally lists first, in this order. */
const kinds = ['sends', 'posts', 'queued', 'canceled', 'expired', 'messages', 'events', 'deliveries', 'failed deliveries', 'uploads']

/** Adds up rounds. */
export function createTotal() {
  const sums = { work: {} as Record<string, number>, disturbances: {} as Record<string, number> }
  const usages: NonNullable<Tally['usage']>[] = []
  let rounds = 0
  let broken = 0
  return {
    add(tally: Tally) {
      rounds++
      broken += tally.broken.length
      if (tally.usage) usages.push(tally.usage)
      for (const name of ['work', 'disturbances'] as const)
        for (const [kind, count] of Object.entries(tally[name])) sums[name][kind] = (sums[name][kind] ?? 0) + count
    },

    /** The tally as a table, and the number of invariants that were broken. */
    end(): { text: string; broken: number } {
      const grown = grownIn(usages)
      broken += grown.length
      const isKill = (kind: string) => /kill|dies/.test(kind)
      const { work, disturbances } = sums
      const kills = Object.entries(disturbances).reduce((sum, [kind, count]) => sum + (isKill(kind) ? count : 0), 0)
      const others = Object.keys(work).filter(kind => !kinds.includes(kind))
      const rows = [
        ['rounds', rounds],
        ...[...kinds, ...others.sort()].map(kind => [kind, work[kind] ?? 0]),
        ['kills', kills],
        ...Object.entries(disturbances).map(([kind, count]) => [`  ${kind}`, count]),
        ['invariants broken', broken],
      ] as const
      const lines = [...grown, ...rows.map(([kind, count]) => `${String(kind).padEnd(28)}${String(count).padStart(9)}`)]
      return { text: `${lines.join('\n')}\n`, broken }
    },
  }
}

/** The first rounds are for the heap and the caches to find their size; sockets of callers may be open still, but a leak never shrinks. */
function grownIn(usages: readonly NonNullable<Tally['usage']>[]): string[] {
  if (usages.length < 10) return []
  return (['rssMb', 'handles'] as const).flatMap(name => {
    const warm = Math.max(...usages.slice(0, 5).map(usage => usage[name]))
    return Math.min(...usages.slice(-5).map(usage => usage[name])) < 1.5 * warm ? [] : [`${name} has grown`]
  })
}
