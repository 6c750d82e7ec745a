import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Case, RunOptions } from './case.ts'
import { type CaseName, cases } from './cases.ts'
import { machine } from './machine.ts'
import { has, leaveOnSignals, pinMyself, pinned } from './programs.ts'
import { mistakesIn, notesOn, tables } from './report.ts'
import { type CaseResult, run, startTargets } from './run.ts'
import { outFolder, startStub } from './setup.ts'
import { restTargets, type Target, type TargetName, targets } from './targets.ts'

const usage = `npm run bench                    everything, about an hour; writes docs/benchmarks.md
npm run bench -- --quick         whether everything works; the figures mean nothing, and no file is written
  --case a,b                     some cases: ${Object.keys(cases).join(', ')}
  --targets a,b                  some targets: ${Object.keys(targets).join(', ')}
  --rounds 5 --seconds 10        other lengths
With --case or --targets no file is written either.
`

const presets = {
  full: {
    rounds: 3,
    seconds: 6,
    warmSeconds: 2,
    firstWarmSeconds: 20,
    checks: 1024,
    part: 1,
    mixed: { requests: 1_000_000, minSeconds: 120, maxSeconds: 300, sliceSeconds: 10 },
  },
  quick: {
    rounds: 1,
    seconds: 1,
    warmSeconds: 0,
    firstWarmSeconds: 0,
    checks: 128,
    part: 0.1,
    mixed: { requests: 1, minSeconds: 0, maxSeconds: 1, sliceSeconds: 1 },
  },
} satisfies Record<string, RunOptions>

const quickNote = 'Quick: no warm-up, a second each, a tenth of the connections. It says what works; the figures mean nothing.'

const { values: given } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    case: { type: 'string' },
    targets: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const say = (text: string) => process.stderr.write(`${text}\n`)
leaveOnSignals()
if (given.help) process.stdout.write(usage)
else process.exitCode = await main()

async function main() {
  const chosenCases = choose('case', Object.keys(cases) as CaseName[], given.case)
  const chosen = choose('target', Object.keys(targets) as TargetName[], given.targets)
  if (!chosenCases || !chosen) return 1
  if (!has('wrk')) {
    say('wrk is missing (Debian: apt-get install wrk): nothing can be measured')
    return 1
  }
  const runOptions: RunOptions = { ...presets[given.quick ? 'quick' : 'full'], ...numeric('rounds'), ...numeric('seconds') }
  const lacking = chosen.flatMap(name => {
    const program = (targets[name] as Target).lacks?.()
    return program ? [{ name, note: `${targets[name].title} was left out: ${program} is missing.` }] : []
  })
  const names = chosen.filter(name => !lacking.some(lack => lack.name === name))

  mkdirSync(outFolder, { recursive: true })
  pinMyself()
  const stub = await startStub()
  const results: [Case, CaseResult][] = []
  const kept = given.quick ? await startTargets(names, stub) : undefined
  for (const name of chosenCases) {
    const measured: Case = cases[name]
    const compared = names.filter(name => (measured.targets ?? restTargets).includes(name))
    // The warm-up of one case must not help the next.
    const started = kept ? { ...kept, names: compared } : await startTargets(compared, stub)
    results.push([measured, await run(measured, started, stub, runOptions, say)])
    if (!kept) await started.close()
  }
  await kept?.close()
  await stub.program.stop()

  const mistakes = mistakesIn(results)
  const notes = [
    ...lacking.map(({ note }) => note),
    ...(pinned ? [] : ['Nothing was pinned to a core: taskset or a second core is missing.']),
    ...(given.quick ? [quickNote] : notesOn(results)),
    ...mistakes,
  ]
  const report = `${tables(results, names, !given.quick)}\n\n${notes.map(note => `- ${note}\n`).join('')}`
  process.stdout.write(`\n${report}`)
  if (!given.quick && !given.case && !given.targets) writeReport(report, runOptions)
  const measured = results.every(([, { subjects }]) => (subjects.gateway?.rounds.length ?? 0) > 0)
  return mistakes.length > 0 || (chosen.includes('gateway') && !measured) ? 1 : 0
}

function choose<T extends string>(what: string, known: readonly T[], list: string | undefined): T[] | undefined {
  const asked = list?.split(',') ?? known
  const unknown = asked.find(name => !known.includes(name as T))
  if (unknown !== undefined) say(`There is no ${what} ${unknown}, only ${known.join(', ')}`)
  return unknown === undefined ? known.filter(name => asked.includes(name)) : undefined
}

function numeric(name: 'rounds' | 'seconds') {
  const value = given[name]
  return value === undefined ? {} : { [name]: Number(value) }
}

/** Replaces what was measured last time, and keeps what people wrote around it. */
function writeReport(report: string, { rounds, seconds, warmSeconds, firstWarmSeconds }: RunOptions) {
  const [begin, end] = ['<!-- measured: npm run bench writes from here -->', '<!-- to here -->']
  const path = join(import.meta.dirname, '../docs/benchmarks.md')
  const old = existsSync(path) ? readFileSync(path, 'utf8') : `# Benchmarks\n\n${begin}\n${end}\n`
  const how = readFileSync(join(import.meta.dirname, 'method.md'), 'utf8')
  const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
  const text = [
    `Measured on ${new Date().toISOString().slice(0, 10)} by \`${command}\`: the median of ${rounds} runs of ${seconds} s for each figure, ${warmSeconds} s of warm-up before each and ${firstWarmSeconds} s before the first.`,
    ...machine(),
    report.trimEnd(),
    how.trimEnd(),
  ].join('\n\n')
  const [before = '', after = ''] = [old.split(begin)[0], old.split(end)[1]]
  writeFileSync(path, `${before}${begin}\n\n${text}\n\n${end}${after}`)
}
