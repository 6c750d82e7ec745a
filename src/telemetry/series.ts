import type { Metric, Registry } from 'prom-client'

/** Finds one series of a metric by the values of its labels, in order, and creates it with zero if it is new. */
type Series<C> = (...values: string[]) => C

export type Count = { value: number }
type Timing = { observe(seconds: number): void }

type Sample = { labels: Record<string, string | number>; value: number; metricName?: string }

/** The series that begin with the same values: to join the values to one name took a microsecond each time. */
type Branch<C> = { next: Map<string, Branch<C>>; cell?: C }

type Family = { name: string; help: string; type: 'counter' | 'histogram' | 'gauge' }

const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/**
 * A counter of prom-client's registry whose series are plain numbers.
 *
 * prom-client validates, sorts and hashes the labels at each observation, which took 2 µs of each request; here it is a lookup for each label.
 */
export function createCounter(registry: Registry, name: string, help: string, ...labelNames: string[]): Series<Count> {
  const samples = ({ value }: Count, labels: Sample['labels']) => [{ labels, value }]
  return createSeries(registry, { name, help, type: 'counter' }, labelNames, () => ({ value: 0 }), samples)
}

/** A histogram of seconds, likewise. */
export function createTimer(registry: Registry, name: string, help: string, ...labelNames: string[]): Series<Timing> {
  const samples = (timing: ReturnType<typeof createTiming>, labels: Sample['labels']) => timing.samples(name, labels)
  return createSeries(registry, { name, help, type: 'histogram' }, labelNames, createTiming, samples)
}

/** A gauge that is read at each scrape: one number, or its series. */
export function createGauge(registry: Registry, name: string, help: string, read: () => number | readonly Sample[]) {
  createMetric(registry, { name, help, type: 'gauge' }, () => {
    const found = read()
    return typeof found === 'number' ? [{ labels: {}, value: found }] : found
  })
}

/** What the metrics of a registry do when a name begins or ends to be configured. */
const followers = new WeakMap<Registry, ((label: string, value: string, ends: boolean) => void)[]>()

/** Ends the series of a name that is not configured any more, by the first label of its metrics. What still happens under that name counts for none. */
export function endSeries(registry: Registry, label: string, value: string) {
  for (const follow of followers.get(registry) ?? []) follow(label, value, true)
}

/** Lets a name have series again. */
export function beginSeries(registry: Registry, label: string, value: string) {
  for (const follow of followers.get(registry) ?? []) follow(label, value, false)
}

/** The registry asks a metric for its name and its values only; prom-client's types know no metric but its own. */
export function createMetric(registry: Registry, family: Family, read: () => readonly Sample[]) {
  registry.registerMetric({ name: family.name, get: async () => ({ ...family, aggregator: 'sum', values: read() }) } as unknown as Metric)
}

function createSeries<C>(
  registry: Registry,
  family: Family,
  labelNames: readonly string[],
  create: () => C,
  samples: (cell: C, labels: Sample['labels']) => Sample[],
): Series<C> {
  let cells: { labels: Sample['labels']; cell: C }[] = []
  const root: Branch<C> = { next: new Map() }
  const ended = new Set<string>()
  createMetric(registry, family, () => cells.flatMap(({ labels, cell }) => samples(cell, labels)))
  const find: Series<C> = (...values) => {
    let branch = root
    for (const value of values) {
      let next = branch.next.get(value)
      if (!next) {
        next = { next: new Map() }
        branch.next.set(value, next)
      }
      branch = next
    }
    if (branch.cell) return branch.cell
    if (ended.has(values[0] ?? '')) return create()
    branch.cell = create()
    cells.push({ labels: Object.fromEntries(labelNames.map((name, i) => [name, values[i] ?? ''])), cell: branch.cell })
    return branch.cell
  }
  if (labelNames.length === 0) find() // it has one series, which begins with zero
  const own = followers.get(registry) ?? []
  followers.set(registry, own)
  own.push((label, value, ends) => {
    if (labelNames[0] !== label) return
    if (!ends) return void ended.delete(value)
    ended.add(value)
    if (root.next.delete(value)) cells = cells.filter(({ labels }) => labels[label] !== value)
  })
  return find
}

function createTiming() {
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0
  return {
    observe(seconds: number) {
      let i = 0
      while (i < bounds.length && seconds > (bounds[i] as number)) i++ // within bounds
      counts[i] = (counts[i] as number) + 1
      sum += seconds
    },
    samples(name: string, labels: Sample['labels']): Sample[] {
      let total = 0
      const buckets = [...bounds, '+Inf'].map((le, i) => {
        total += counts[i] as number // as many counts as bounds, and one more
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total }
      })
      return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }]
    },
  }
}
