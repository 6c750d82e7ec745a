import { setTimeout as sleep } from 'node:timers/promises'
import { startSandbox } from '../../src/sandbox/app.ts'
import { createCaller, passing } from './caller.ts'
import { brokenSends } from './compare.ts'
import { disturb, installed, order } from './disturbances.ts'
import { heldUp, timings } from './invariants.ts'
import { createQueueCaller } from './queue-caller.ts'
import { makeQueuedScenarios } from './queue-scenarios.ts'
import { faults, makeScenarios, type Scenario, seeded } from './scenarios.ts'
import { openSetup, type Setup } from './setup.ts'
import { partsLeft, wrongFiles } from './stored-files.ts'
import { elsewhere } from './tokens.ts'

/** What a round did and saw; `broken` lists each invariant that did not hold, with the send that shows it. */
export type Tally = {
  seed: number
  /** How much there was of each kind. */
  work: Record<string, number>
  answers: Record<string, number>
  states: Record<string, number>
  disturbances: Record<string, number>
  /** Of the gateway that nothing disturbs, at rest. */
  usage: { rssMb: number; handles: number } | undefined
  broken: string[]
}

export type RoundOptions = { seed: number; sends: number; concurrency?: number; disturbances?: number }

/** How long sends that wait may do so: a breaker opens for half a minute, and attempts are up to a minute apart. */
const queueEndsMs = 180_000

/** Sends at random, breaks what can break, and compares what every caller saw with what Afilnet took. */
export async function runRound(setup: Setup, { seed, sends, concurrency = 32, disturbances = 10 }: RoundOptions): Promise<Tally> {
  const { victim, witness, gateways, proxies, storeOutages, mediaFolder } = setup
  const random = seeded(seed)
  const scenarios = makeScenarios(seed, sends, random)
  const queued = makeQueuedScenarios(seed, Math.ceil(sends / 5), random)
  const sandbox = await startSandbox()
  for (const proxy of proxies) proxy.leadTo(Number(new URL(sandbox.url).port))
  const tally: Tally = { seed, work: {}, answers: {}, states: {}, disturbances: {}, usage: undefined, broken: [] }
  const count = (of: Record<string, number>, name: string, more = 1) => {
    of[name] = (of[name] ?? 0) + more
  }
  const countWork = (name: string) => count(tally.work, name)
  const caller = createCaller(setup, random, concurrency, countWork)
  const queueCaller = createQueueCaller(caller.client, sandbox, random, countWork)
  tally.answers = caller.answers
  const kinds = order[setup.server ? 'replicas' : 'single'].filter(kind => installed[kind] !== false)
  let nth = seed * disturbances

  async function disturbOnce() {
    const kind = kinds[nth++ % kinds.length] ?? 'kill -9'
    count(tally.disturbances, kind)
    for (const broken of (await disturb(kind, setup, random)) ?? []) tally.broken.push(`${broken} (${kind})`)
  }

  async function play(scenario: Scenario) {
    const { destination, fault, kind, keyed, repeats, parallel, hangUp } = scenario
    const { answer } = faults[fault]
    if (Object.keys(answer).length > 0) sandbox.answer({ ...answer, destination })
    // A file needs a conversation to go to.
    if (kind !== 'messages') sandbox.receive({ platform: 'telegram', platformid: '200', destination, message: 'Hello' })
    if (kind === 'stored') await caller.store(scenario)
    const again = Array.from({ length: keyed ? repeats : 0 })
    if (parallel) await Promise.all([ask(scenario, hangUp), ...again.map(() => ask(scenario, false))])
    else {
      await ask(scenario, hangUp)
      for (const _ of again) await ask(scenario, random() < 0.1)
    }
    if (scenario.token !== undefined) tally.broken.push(...(await caller.tryElsewhere(scenario)))
  }

  /** Posts, and waits out what passes, as a good caller does: else the seed would be spent on refusals. */
  async function ask(scenario: Scenario, hungUp: boolean) {
    if (scenario.kind === 'stored' && !scenario.fileUrl) return // no gateway stored it
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
    while (Date.now() < until && (await caller.has('pending'))) await sleep(250)
  }

  try {
    let disturbing = Promise.resolve()
    const every = Math.ceil(sends / (disturbances + 1))
    const queueing = inParallel(concurrency / 2, queued, queueCaller.play)
    await inParallel(concurrency, scenarios, async (scenario, i) => {
      if (i > 0 && i % every === 0) disturbing = disturbing.then(disturbOnce)
      await play(scenario)
    })
    await disturbing
    await queueing
    await quiet()
    const keyed = scenarios.filter(({ keyed }) => keyed)
    await inParallel(concurrency, keyed, scenario => ask(scenario, false))
    for (const until = Date.now() + queueEndsMs; Date.now() < until && (await caller.has('queued')); ) await sleep(250)
    const lasting = queued.filter(({ keyed }) => keyed)
    await inParallel(concurrency, lasting, queueCaller.post)
    for (const until = Date.now() + queueEndsMs; Date.now() < until && (await caller.has('queued')); ) await sleep(250)
    await quiet()
    noticeStalls(setup, tally)
    const onState = (state: string) => count(tally.states, state)
    tally.broken.push(...brokenSends({ setup, scenarios, queued, sandbox, rows: await caller.sends(`t${seed}-`), onState }))
    tally.broken.push(...(await wrongFiles(setup, scenarios, sandbox.sent)), ...(await partsLeft(mediaFolder)))
    for (const { destination } of sandbox.sent)
      if (destination.endsWith(elsewhere)) tally.broken.push(`a token reaches one conversation: ${destination}`)
  } catch (error) {
    tally.broken.push(`the round ends, not with ${error}`)
  } finally {
    await caller.close()
    await sandbox.close()
  }
  count(tally.work, 'sends', scenarios.length)
  count(
    tally.work,
    'posts',
    [...scenarios, ...queued].reduce((sum, { posts }) => sum + posts.length, 0),
  )
  for (const state of ['canceled', 'expired']) count(tally.work, state, tally.states[state] ?? 0)
  tally.usage = witness.usage()
  for (const { errors } of gateways)
    for (const { at, line } of errors.splice(0))
      if (![...victim.outages, ...storeOutages].some(outage => heldUp(outage, at, at)))
        tally.broken.push(`a healthy process logs no error: ${line}`)
  return tally
}

/** On a busy machine the store may be silent for too long without a disturbance; what follows from that is no fault of a gateway. */
function noticeStalls({ gateways, storeOutages }: Setup, { disturbances }: Tally) {
  for (const { at, line } of gateways.flatMap(({ errors }) => errors)) {
    if (!/"fault":"(busy|away)"|"type":"StoreUnavailableError"/.test(line) || storeOutages.some(outage => heldUp(outage, at, at))) continue
    disturbances['store stalls'] = (disturbances['store stalls'] ?? 0) + 1
    storeOutages.push({ signal: 'SIGSTOP', at: at - 1_000, upAgainAt: at + 1_000 })
  }
}

async function inParallel<T>(concurrency: number, items: readonly T[], work: (item: T, i: number) => Promise<unknown>) {
  const left = items.entries()
  const worker = async () => {
    for (const [i, item] of left) await work(item, i)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
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
