import { setTimeout as sleep } from 'node:timers/promises'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { createCaller } from './caller.ts'
import { disturb, installed, order } from './disturbances.ts'
import { brokenInvariants, heldUp, timings } from './invariants.ts'
import { faults, makeScenarios, type Scenario, seeded } from './scenarios.ts'
import { openSetup, type Setup } from './setup.ts'

/** What a round did and saw; `broken` lists each invariant that did not hold, with the send that shows it. */
export type Tally = {
  seed: number
  sends: number
  posts: number
  answers: Record<string, number>
  states: Record<string, number>
  disturbances: Record<string, number>
  /** Of the gateway that nothing disturbs, at rest. */
  usage: { rssMb: number; handles: number } | undefined
  broken: string[]
}

export type RoundOptions = { seed: number; sends: number; concurrency?: number; disturbances?: number }

/** Callers meet these while something is out of order; a good caller waits and posts again. */
const passing = ['upstream-circuit-open', 'upstream-unreachable', 'store-unavailable', 'ledger-changed', 'unauthenticated']

/** Sends at random, breaks what can break, and compares what every caller saw with what Afilnet took. */
export async function runRound(setup: Setup, { seed, sends, concurrency = 32, disturbances = 10 }: RoundOptions): Promise<Tally> {
  const { victim, witness, gateways, proxies, storeOutages } = setup
  const random = seeded(seed)
  const scenarios = makeScenarios(seed, sends, random)
  const sandbox = await startSandbox()
  for (const proxy of proxies) proxy.leadTo(Number(new URL(sandbox.url).port))
  const caller = createCaller(setup, random, concurrency)
  const tally: Tally = { seed, sends, posts: 0, answers: caller.answers, states: {}, disturbances: {}, usage: undefined, broken: [] }
  const kinds = order[setup.server ? 'replicas' : 'single'].filter(kind => installed[kind] !== false)
  const count = (of: Record<string, number>, name: string) => {
    of[name] = (of[name] ?? 0) + 1
  }
  let nth = seed * disturbances

  async function disturbOnce() {
    const kind = kinds[nth++ % kinds.length] ?? 'kill -9'
    count(tally.disturbances, kind)
    for (const broken of (await disturb(kind, setup, random)) ?? []) tally.broken.push(`${broken} (${kind})`)
  }

  async function play(scenario: Scenario) {
    const { answer } = faults[scenario.fault]
    if (Object.keys(answer).length > 0) sandbox.answer({ ...answer, destination: scenario.destination })
    if (scenario.kind === 'files') welcome(sandbox, scenario)
    const again = Array.from({ length: scenario.keyed ? scenario.repeats : 0 })
    if (scenario.parallel) return void (await Promise.all([ask(scenario, scenario.hangUp), ...again.map(() => ask(scenario, false))]))
    await ask(scenario, scenario.hangUp)
    for (const _ of again) await ask(scenario, random() < 0.1)
  }

  /** Posts, and waits out what passes, as a good caller does: else the seed would be spent on refusals. */
  async function ask(scenario: Scenario, hungUp: boolean) {
    for (let waits = 0; waits < 40; waits++) {
      const { answer } = await caller.post(scenario, hungUp)
      if (!passing.includes(String(answer?.json.code))) return
      await sleep(200)
    }
  }

  /** Waits until nothing is pending or late any more, or should not be. */
  async function quiet() {
    const until = Date.now() + timings.deathMs + 5_000
    await sleep(timings.timeoutMs + timings.lateMs + 200)
    while (Date.now() < until && (await caller.pending())) await sleep(250)
  }

  try {
    await caller.issueTokens(scenarios)
    let disturbing = Promise.resolve()
    const every = Math.ceil(sends / (disturbances + 1))
    await inParallel(concurrency, scenarios, async (scenario, i) => {
      if (i > 0 && i % every === 0) disturbing = disturbing.then(disturbOnce)
      await play(scenario)
    })
    await disturbing
    await quiet()
    const keyed = scenarios.filter(({ keyed }) => keyed)
    await inParallel(concurrency, keyed, scenario => ask(scenario, false))
    await quiet()
    noticeStalls(setup, tally)
    tally.broken.push(...(await compare(setup, scenarios, sandbox, caller, state => count(tally.states, state))))
  } catch (error) {
    tally.broken.push(`the round ends, not with ${error}`)
  } finally {
    await caller.close()
    await sandbox.close()
  }
  tally.posts = scenarios.reduce((sum, { posts }) => sum + posts.length, 0)
  tally.usage = witness.usage()
  for (const { errors } of gateways)
    for (const { at, line } of errors.splice(0))
      if (![...victim.outages, ...storeOutages].some(outage => heldUp(outage, at, at)))
        tally.broken.push(`a healthy process logs no error: ${line}`)
  return tally
}

/** On a busy machine the store may be silent for too long without a disturbance; what follows from that is no fault of a gateway. */
function noticeStalls({ server, gateways, storeOutages }: Setup, { disturbances }: Tally) {
  for (const { at, line } of gateways.flatMap(({ errors }) => errors)) {
    if (!server || !/"fault":"(busy|away)"/.test(line) || storeOutages.some(outage => heldUp(outage, at, at))) continue
    disturbances['store stalls'] = (disturbances['store stalls'] ?? 0) + 1
    storeOutages.push({ signal: 'SIGSTOP', at: at - 1_000, upAgainAt: at + 1_000 })
  }
}

/** Compares the ledger, the answers and what the sandbox took, send by send. */
async function compare(
  { gateways, storeOutages, clockJumps, ledgerGaps, strays, victim }: Setup,
  scenarios: Scenario[],
  sandbox: Sandbox,
  caller: ReturnType<typeof createCaller>,
  onState: (state: string) => void,
) {
  const prefix = `${scenarios[0]?.destination.split('-')[0]}-`
  const rows = Map.groupBy(await caller.sends(prefix), ({ destination }) => destination)
  const taken = Map.groupBy(sandbox.sent, ({ destination }) => destination)
  const calls = Map.groupBy(sandbox.calls, ({ params }) => params.find(([name]) => name === 'destination')?.[1])
  const outagesOf = (gateway: number) => gateways[gateway]?.outages ?? storeOutages
  return scenarios.flatMap(scenario => {
    const { destination } = scenario
    const ledger = rows.get(destination) ?? []
    const times = taken.get(destination)?.length ?? 0
    for (const { state } of ledger) onState(state)
    const evidence = { rows: ledger, taken: times, calls: calls.get(destination) ?? [], outagesOf, clockJumps, ledgerGaps, strays }
    const details = JSON.stringify({ times, ledger, scenario, outages: victim.outages.slice(-3) })
    return brokenInvariants(scenario, evidence).map(invariant => `${invariant}: ${details}`)
  })
}

async function inParallel<T>(concurrency: number, items: readonly T[], work: (item: T, i: number) => Promise<unknown>) {
  const left = items.entries()
  const worker = async () => {
    for (const [i, item] of left) await work(item, i)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

/** A file needs a conversation to go to. */
function welcome(sandbox: Sandbox, { destination }: Scenario) {
  sandbox.receive({ platform: 'telegram', platformid: '200', destination, message: 'Hello' })
}

/** One round in a setup of its own. */
export async function injectFaults({ replicas = false, ...options }: RoundOptions & { replicas?: boolean }): Promise<Tally> {
  const setup = await openSetup({ replicas })
  try {
    return await runRound(setup, options)
  } finally {
    await setup.close()
  }
}
