import type { Case, Outcome, Pace } from './cases.ts'
import { enter, nobody, type Performer, type Stub } from './setup.ts'
import { spread } from './statistics.ts'
import { type ContestantName, contestants } from './targets.ts'
import { verify, verifyRefusals } from './verify.ts'

/** Who is measured in a case: the contestants, and the stub with nobody before it. */
export type EntrantName = ContestantName | 'straight'

/** What came of one entrant in one case: its numbers round by round, and everything that was wrong with its answers. */
export type Result = { rounds: Outcome['numbers'][]; mistakes: string[] }

export type CaseResult = {
  entrants: Partial<Record<EntrantName, Result>>
  /** Of nginx+lua, in the set that was kept. */
  spread: number
}

/** Contestants at work; whoever did not start is missing from `performers`. */
export type Company = { names: readonly ContestantName[]; performers: Map<ContestantName, Performer>; close(): Promise<void> }

/** With more, the machine was not steady: everybody is measured again. */
export const mostSpread = 0.05
export const mostSets = 2

/** Starts contestants, one after the other. */
export async function gather(names: readonly ContestantName[], stub: Stub): Promise<Company> {
  const performers: Company['performers'] = new Map()
  for (const name of names) {
    const performer = await enter(contestants[name], stub.url).catch(() => undefined) // run() says that it is missing
    if (performer) performers.set(name, performer)
  }
  const close = async () => {
    for (const { program } of performers.values()) await program.stop()
  }
  return { names, performers, close }
}

/** Measures one case: everybody in turn, round after round, until nginx+lua was steady. */
export async function run(
  of: Case,
  { names, performers }: Company,
  stub: Stub,
  pace: Pace,
  say: (text: string) => void,
): Promise<CaseResult> {
  const entrants: [EntrantName, Performer][] = [...(of.straight ? [['straight', nobody(stub)] as const] : []), ...performers].map(entry => [
    ...entry,
  ])
  const mistakes = new Map<EntrantName, Set<string>>()
  const blame = (name: EntrantName, found: readonly string[]) => mistakes.set(name, new Set([...(mistakes.get(name) ?? []), ...found]))
  /** Whoever breaks down is to blame, and the others go on. */
  const hold = (name: EntrantName, work: () => Promise<unknown>) => work().catch((error: Error) => blame(name, [error.message]))
  const checkAll = async () => {
    for (const [name, { target }] of performers) {
      await hold(name, async () => blame(name, await verifyRefusals(target)))
      await hold(name, async () => blame(name, await verify(contestants[name], target, of.asks, pace.checks)))
    }
  }
  const play = async (name: EntrantName, performer: Performer, rounds: Result['rounds']) => {
    const scene = { ...performer, stub, pace }
    if (pace.warmSeconds > 0) await of.warm(scene)
    const { numbers, mistakes } = await of.measure(scene)
    blame(name, mistakes)
    rounds.push(numbers)
    say(`${of.title}: ${name} ${Object.keys(of.figures).map(figure => `${figure} ${numbers[figure]?.toFixed(1)}`)}`)
  }

  for (const name of names) if (!performers.has(name)) blame(name, ['it did not start'])
  await checkAll()
  const [first = ''] = Object.keys(of.figures)
  let best = { spread: Number.POSITIVE_INFINITY, rounds: new Map<EntrantName, Result['rounds']>() }
  for (let set = 1; set <= mostSets && best.spread > mostSpread; set++) {
    const rounds = new Map(entrants.map(([name]) => [name, [] as Result['rounds']]))
    for (let round = 0; round < (of.once ? 1 : pace.rounds); round++) {
      for (const [name, performer] of entrants) await hold(name, () => play(name, performer, rounds.get(name) ?? []))
    }
    const reference = rounds.get('nginx')?.map(numbers => numbers[first] ?? Number.NaN) ?? []
    const found = reference.length > 0 ? spread(reference) : 0
    if (set === 1 || found < best.spread) best = { spread: found, rounds }
  }
  await checkAll()

  const everybody = new Set([...names, ...entrants.map(([name]) => name)])
  const resultOf = (name: EntrantName) => ({ rounds: best.rounds.get(name) ?? [], mistakes: [...(mistakes.get(name) ?? [])] })
  return { entrants: Object.fromEntries([...everybody].map(name => [name, resultOf(name)])), spread: best.spread }
}
