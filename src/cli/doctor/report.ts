/** `note` is worth knowing and needs no action; `skipped` could not be checked. */
type Verdict = 'ok' | 'note' | 'warning' | 'broken' | 'skipped'

/** One line of the report. */
export type Check = {
  section: string
  account?: string
  check: string
  verdict: Verdict
  /** What was found: never a secret, never a text or number of a person. */
  detail: string
  /** What the operator can do. */
  todo?: string
  facts?: Record<string, unknown>
}

/** The whole report, as `--json` prints it. */
export type Report = { verdict: keyof typeof exitCodes; checks: readonly Check[]; node: string; version: string; at: string }

/** The report warns of what ends in fewer days. */
export const soonDays = 21
export const daysUntil = (time: string) => Math.floor((Date.parse(time) - Date.now()) / 86_400_000)

/** The exit code of each verdict. */
export const exitCodes = { ok: 0, warning: 1, broken: 2 } as const

/** The worst of all verdicts. */
export function worst(checks: readonly Check[]): Report['verdict'] {
  return (['broken', 'warning'] as const).find(verdict => checks.some(check => check.verdict === verdict)) ?? 'ok'
}

const titleOf = ({ section, account }: Check) => (account === undefined ? section : `${section}, account ${account}`)

/** The report for a person: a line for each check, and below it what to do. */
export function render({ checks, verdict }: Report): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const lines = checks.flatMap((check, index) => {
    const title = titleOf(check)
    const before = checks[index - 1]
    const heading = before && titleOf(before) === title ? [] : [...(before ? [''] : []), title]
    const line = `  ${check.verdict.padEnd(7)}  ${check.check.padEnd(width)}  ${check.detail}`
    return [...heading, line, ...(check.todo === undefined ? [] : [`           → ${check.todo}`])]
  })
  const count = (of: Verdict) => checks.filter(check => check.verdict === of).length
  const counts = (['ok', 'note', 'warning', 'broken', 'skipped'] as const).map(of => `${count(of)} ${of}`).join(', ')
  return `${lines.join('\n')}\n\nVerdict: ${verdict} (${counts})\n`
}
