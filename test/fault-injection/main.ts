import { parseArgs } from 'node:util'
import { runEventsRound } from './events-round.ts'
import { runRound, type Tally } from './round.ts'
import { openSetup, type Setup } from './setup.ts'
import { createTotal } from './total.ts'

const options = {
  minutes: { type: 'string', default: '1' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  replicas: { type: 'boolean', default: false },
  // Without either of them, both take turns.
  sends: { type: 'boolean', default: false },
  events: { type: 'boolean', default: false },
} as const
const values = read() ?? explain()
const { replicas } = values
const minutes = Number(values.minutes)
const until = Date.now() + minutes * 60_000
const total = createTotal()
let setup: Setup | undefined

/** The rounds that take turns. */
const rounds: Record<'sends' | 'events', (seed: number) => Promise<Tally>> = {
  async sends(seed) {
    setup ??= await openSetup({ replicas })
    return runRound(setup, { seed, sends: 2_000 })
  },
  events: seed => runEventsRound({ seed, replicas, disturbances: 6, downMs: minutes >= 10 ? 60_000 : 10_000 }),
}

const chosen = values.sends === values.events ? (['sends', 'events'] as const) : values.sends ? (['sends'] as const) : (['events'] as const)
let seed = Number(values.seed)
do {
  const round = chosen[(seed - Number(values.seed)) % chosen.length] ?? 'sends'
  const tally = await rounds[round](seed++)
  total.add(tally)
  process.stdout.write(`${JSON.stringify({ round, ...tally })}\n`)
} while (Date.now() < until)
await setup?.close()

const { text, broken } = total.end()
process.stdout.write(`${text}seeds ${values.seed} to ${seed - 1}: ${broken} broken invariants\n`)
process.exit(broken === 0 ? 0 : 1) // Node can spin forever while it cleans up open connections

function read() {
  try {
    const { values } = parseArgs({ options })
    return /^\d+(\.\d+)?$/.test(values.minutes) && /^\d+$/.test(values.seed) ? values : undefined
  } catch {
    return undefined
  }
}

function explain(): never {
  process.stderr.write('npm run torture -- [--minutes 60] [--seed 1] [--replicas] [--sends] [--events]\n')
  process.exit(78)
}
