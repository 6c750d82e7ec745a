/** What V8 reports with `--trace-gc-nvp`: the bytes allocated before its collections, and those that young ones moved to the old heap. */
export function collectionsIn(lines: string): { allocated: number; promoted: number } {
  const sum = { allocated: 0, promoted: 0 }
  for (const line of lines.split('\n')) {
    sum.allocated += Number(/ allocated=(\d+)/.exec(line)?.[1] ?? 0)
    sum.promoted += Number(/ promoted=(\d+)/.exec(line)?.[1] ?? 0)
  }
  return sum
}
