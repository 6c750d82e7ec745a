import { version } from '../version.ts'
import { exitCodes, type Report, render, worst } from './doctor/report.ts'
import { examine } from './doctor/run.ts'

const [argument, ...more] = process.argv.slice(2)
if ((argument !== undefined && argument !== '--json') || more.length > 0) {
  process.stderr.write('The only argument is --json\n')
  process.exit(exitCodes.broken)
}

const checks = await examine(process.env)
const report: Report = { verdict: worst(checks), checks, node: process.version, version, at: new Date().toISOString() }
// Not before the last byte is out; and then at once, whatever a name server or a disk still owes.
process.stdout.write(argument ? `${JSON.stringify(report, null, 2)}\n` : render(report), () => process.exit(exitCodes[report.verdict]))
