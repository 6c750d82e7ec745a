import type { Case, Figure } from './case.ts'
import { type CaseResult, mostSets, mostSpread, type Result, type SubjectName } from './run.ts'
import { median, spread } from './statistics.ts'
import { restTargets, type TargetName, targets } from './targets.ts'

/** A figure of a subject: the median of its rounds, and how far apart they were. */
export type Value = { median: number; spread: number }

const titleOf = (name: SubjectName) => (name === 'direct' ? 'no gateway' : targets[name].title)

/** The medians of a figure, for each target that was measured and answered correctly. */
export function valuesOf(figure: string, { added }: Figure, { subjects }: CaseResult): Partial<Record<SubjectName, Value>> {
  const rounds = (result: Result | undefined) => result?.rounds.map(numbers => numbers[figure] ?? Number.NaN) ?? []
  const direct = rounds(subjects.direct)
  const found = Object.entries(subjects).flatMap(([name, result]) => {
    if (result.mistakes.length > 0 || result.rounds.length === 0) return []
    const values = rounds(result).map((value, i) => (added && name !== 'direct' ? value - (direct[i] ?? Number.NaN) : value))
    return [[name, { median: median(values), spread: spread(values) }]]
  })
  return Object.fromEntries(found)
}

/** How many times better than another one; more than 1 is always better. */
export const ratioOf = ({ better }: Figure, value: Value, other: Value): number =>
  better === 'less' ? other.median / value.median : value.median / other.median

/** Whether the goal is met; `undefined` if that is unknown. */
export function meets(figure: Figure, gateway: Value | undefined, nginx: Value | undefined): boolean | undefined {
  if (!figure.goal || !gateway || Number.isNaN(gateway.median)) return undefined
  if ('atMost' in figure.goal) return gateway.median <= figure.goal.atMost
  if ('atLeast' in figure.goal) return gateway.median >= figure.goal.atLeast
  if ('beyondNginx' in figure.goal) return nginx && gateway.median - nginx.median <= figure.goal.beyondNginx
  return nginx && ratioOf(figure, gateway, nginx) >= figure.goal.timesNginx
}

function number(value: number, { unit, digits = 0 }: Figure) {
  if (Number.isNaN(value)) return '–'
  const text = value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return unit === '/s' || unit === '' ? text + unit : `${text} ${unit}`
}

const percent = (part: number) => `${(100 * part).toFixed(0)} %`

function cell(name: SubjectName, figure: Figure, values: ReturnType<typeof valuesOf>, result: Result | undefined) {
  const value = values[name]
  if (result && result.mistakes.length > 0) return 'failed, see below'
  if (!value || Number.isNaN(value.median)) return '–'
  const ratio = figure.better && values.nginx && name !== 'nginx' ? ` · ${ratioOf(figure, value, values.nginx).toFixed(2)} ×` : ''
  const apart = result && result.rounds.length > 1 && !figure.added ? ` · ${percent(value.spread)}` : ''
  return `${number(value.median, figure)}${ratio}${apart}`
}

function goalOf({ goal, ...figure }: Figure) {
  if (!goal) return ''
  if ('timesNginx' in goal) return `≥ ${goal.timesNginx} × nginx+lua`
  if ('beyondNginx' in goal) return `≤ nginx+lua + ${goal.beyondNginx} ${figure.unit}`
  if ('atLeast' in goal) return `≥ ${number(goal.atLeast, figure)}`
  return `≤ ${number(goal.atMost, { ...figure, digits: 0 })}`
}

type Results = readonly (readonly [Case, CaseResult])[]

/** A table of the cases that compare ways to serve Afilnet as REST, and one for the others. */
export const tables = (results: Results, names: readonly TargetName[], judged: boolean): string =>
  [results.filter(([of]) => !of.targets), results.filter(([of]) => of.targets)]
    .filter(group => group.length > 0)
    .map(group => table(group, names, judged))
    .join('\n\n')

/** One row for each figure of each case; `judged` ones say whether they meet their goal. */
export function table(results: Results, names: readonly TargetName[], judged: boolean): string {
  const compared = new Set(results.flatMap(([of]) => of.targets ?? restTargets))
  const columns: SubjectName[] = [
    ...names.filter(name => compared.has(name)),
    ...(results.some(([of]) => of.direct) ? (['direct'] as const) : []),
  ]
  const withExpress = columns.includes('express')
  const rows = results.flatMap(([of, result]) =>
    Object.entries(of.figures).map(([name, figure]) => {
      const values = valuesOf(name, figure, result)
      const { gateway, nginx, express } = values
      const timesExpress = figure.better && gateway && express ? `${ratioOf(figure, gateway, express).toFixed(1)} ×` : ''
      const met = meets(figure, gateway, nginx)
      return [
        figure.title ? `… ${figure.title}` : of.title,
        ...columns.map(column => cell(column, figure, values, result.subjects[column])),
        ...(withExpress ? [timesExpress] : []),
        `${goalOf(figure)}${!judged || met === undefined ? '' : met ? ', met' : ', **missed**'}`,
      ]
    }),
  )
  return aligned([['case', ...columns.map(titleOf), ...(withExpress ? ['to express + axios'] : []), 'goal'], ...rows])
}

function aligned([head = [], ...rows]: readonly string[][]) {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map(row => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]) => `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

/** Everything that was wrong, with its case and its subject. */
export const mistakesIn = (results: Results): string[] =>
  results.flatMap(([of, { subjects }]) =>
    Object.entries(subjects).flatMap(([name, { mistakes }]) =>
      mistakes.map(mistake => `${of.title}, ${titleOf(name as SubjectName)}: ${mistake}`),
    ),
  )

/** Notes for the reader: sets that were not steady, and targets that something other than their core bounded. */
export function notesOn(results: Results): string[] {
  return results.flatMap(([of, { spread, subjects }]) => [
    ...(spread > mostSpread
      ? [`${of.title}: nginx+lua's own runs were ${percent(spread)} apart after ${mostSets} sets; take these figures with care.`]
      : []),
    ...Object.entries(subjects).flatMap(([name, { rounds }]) => {
      const busy = median(rounds.map(({ busy = 1 }) => busy))
      return 'perSecond' in of.figures && busy < 0.9 && name !== 'direct'
        ? [
            `${of.title}: ${titleOf(name as SubjectName)} used ${percent(busy)} of its core; something else bounded it (the loader, the disk, or waiting).`,
          ]
        : []
    }),
  ])
}
