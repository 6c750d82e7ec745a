import type { Case, Outcome, RunOptions } from './case.ts'
import { direct, type RunningTarget, type Stub, startTarget } from './setup.ts'
import { spread } from './statistics.ts'
import { type Target, type TargetName, targets } from './targets.ts'
import { verify, verifyRefusals } from './verify.ts'

/** What a case measures: the targets, and the stub without one. */
export type SubjectName = TargetName | 'direct'

/** The result of one subject in one case: its numbers round by round, and everything that was wrong with its answers. */
export type Result = { rounds: Outcome['numbers'][]; mistakes: string[] }

export type CaseResult = {
  subjects: Partial<Record<SubjectName, Result>>
  /** Of nginx+lua, in the set that was kept. */
  spread: number
}

/** Targets that were started; one that failed to start is missing from `running`. */
export type StartedTargets = { names: readonly TargetName[]; running: Map<TargetName, RunningTarget>; close(): Promise<void> }

/** With more, the machine was not steady, and all are measured again. */
export const mostSpread = 0.05
export const mostSets = 2

/** Starts targets, one after the other. */
export async function startTargets(names: readonly TargetName[], stub: Stub): Promise<StartedTargets> {
  const running: StartedTargets['running'] = new Map()
  for (const name of names) {
    const runningTarget = await startTarget(targets[name], stub.url).catch(() => undefined) // run() says that it is missing
    if (runningTarget) running.set(name, runningTarget)
  }
  const close = async () => {
    for (const { program } of running.values()) await program.stop()
  }
  return { names, running, close }
}

/** Measures one case: one subject after the other, round after round, until nginx+lua was steady. */
export async function run(
  of: Case,
  { names, running }: StartedTargets,
  stub: Stub,
  runOptions: RunOptions,
  say: (text: string) => void,
): Promise<CaseResult> {
  const compared = [...running].filter(([name]) => names.includes(name))
  const subjects: (readonly [SubjectName, RunningTarget])[] = [...(of.direct ? [['direct', direct(stub)] as const] : []), ...compared]
  const mistakes = new Map<SubjectName, Set<string>>()
  const report = (name: SubjectName, found: readonly string[]) => mistakes.set(name, new Set([...(mistakes.get(name) ?? []), ...found]))
  /** Reports an error for its subject and goes on with the others. */
  const attempt = (name: SubjectName, work: () => Promise<unknown>) => work().catch((error: Error) => report(name, [error.message]))
  const checkAll = async () => {
    for (const [name, { endpoint }] of compared) {
      if ((targets[name] as Target).floor || of.asks.length === 0) continue
      await attempt(name, async () => report(name, await verifyRefusals(endpoint)))
      await attempt(name, async () => report(name, await verify(targets[name], endpoint, of.asks, runOptions.checks)))
    }
  }
  const warmed = new Set<SubjectName>()
  const measureOnce = async (name: SubjectName, runningTarget: RunningTarget, rounds: Result['rounds']) => {
    const setup = { ...runningTarget, name, stub, runOptions }
    const warmSeconds = warmed.has(name) ? runOptions.warmSeconds : runOptions.firstWarmSeconds
    warmed.add(name)
    if (warmSeconds > 0) await of.warm(setup, warmSeconds)
    const { numbers, mistakes } = await of.measure(setup)
    report(name, mistakes)
    rounds.push(numbers)
    say(`${of.title}: ${name} ${Object.keys(of.figures).map(figure => `${figure} ${numbers[figure]?.toFixed(1)}`)}`)
  }

  for (const name of names) if (!running.has(name)) report(name, ['it did not start'])
  await checkAll()
  const [first = ''] = Object.keys(of.figures)
  let best = { spread: Number.POSITIVE_INFINITY, rounds: new Map<SubjectName, Result['rounds']>() }
  for (let set = 1; set <= mostSets && best.spread > mostSpread; set++) {
    const rounds = new Map(subjects.map(([name]) => [name, [] as Result['rounds']]))
    for (let round = 0; round < (of.once ? 1 : runOptions.rounds); round++) {
      for (const [name, runningTarget] of subjects) await attempt(name, () => measureOnce(name, runningTarget, rounds.get(name) ?? []))
    }
    const reference = rounds.get('nginx')?.map(numbers => numbers[first] ?? Number.NaN) ?? []
    const found = reference.length > 0 ? spread(reference) : 0
    if (set === 1 || found < best.spread) best = { spread: found, rounds }
  }
  await checkAll()

  const all = new Set([...names, ...subjects.map(([name]) => name)])
  const resultOf = (name: SubjectName) => ({ rounds: best.rounds.get(name) ?? [], mistakes: [...(mistakes.get(name) ?? [])] })
  return { subjects: Object.fromEntries([...all].map(name => [name, resultOf(name)])), spread: best.spread }
}
