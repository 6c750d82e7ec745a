import type { Environment } from '../../config/variables.ts'
import { version } from '../../version.ts'
import { exitCodes, type Report, render, worst } from './report.ts'
import { runChecks } from './run.ts'

/** Runs `npm run doctor` with these arguments. */
export async function runDoctorCommand(
  args: readonly string[],
  environment: Environment,
): Promise<{ exitCode: number; output?: string; error?: string }> {
  const [argument, ...more] = args
  if ((argument !== undefined && argument !== '--json') || more.length > 0)
    return { exitCode: exitCodes.broken, error: 'The only argument is --json\n' }
  const checks = await runChecks(environment)
  const report: Report = { verdict: worst(checks), checks, node: process.version, version, at: new Date().toISOString() }
  return { exitCode: exitCodes[report.verdict], output: argument ? `${JSON.stringify(report, null, 2)}\n` : render(report) }
}
