import { parseArgs } from 'node:util'
import { runEventsRound } from './events-round.ts'
import { runRound } from './round.ts'
import { openSetup } from './setup.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    replicas: { type: 'boolean', default: false },
    events: { type: 'boolean', default: false },
  },
})
const until = Date.now() + Number(values.minutes) * 60_000
const total: Record<string, Record<string, number>> = { answers: {}, states: {}, disturbances: {} }
let [sends, posts, broken] = [0, 0, 0]
let seed = Number(values.seed)
const usages: { rssMb: number; handles: number }[] = []

if (values.events) await injectIntoEvents()
else await injectIntoSends()

/** Consumers, webhooks and the process that polls. */
async function injectIntoEvents() {
  let messages = 0
  do {
    const tally = await runEventsRound({ seed: seed++, seconds: 20, replicas: values.replicas })
    messages += tally.messages
    broken += tally.broken.length
    process.stdout.write(`${JSON.stringify(tally)}\n`)
  } while (Date.now() < until)
  process.stdout.write(`seeds ${values.seed} to ${seed - 1}: ${messages} messages, ${broken} broken invariants\n`)
  process.exitCode = broken === 0 ? 0 : 1
}

async function injectIntoSends() {
  const setup = await openSetup({ replicas: values.replicas })
  do {
    const tally = await runRound(setup, { seed, sends: 2_000 })
    sends += tally.sends
    posts += tally.posts
    broken += tally.broken.length
    for (const name of ['answers', 'states', 'disturbances'] as const) add(total[name] ?? {}, tally[name])
    if (tally.usage) usages.push(tally.usage)
    process.stdout.write(`${JSON.stringify(tally)}\n`)
    seed++
  } while (Date.now() < until)
  await setup.close()

  // The first rounds are for the heap and the caches to find their size; sockets of callers may be open still, but a leak never shrinks.
  for (const name of ['rssMb', 'handles'] as const) {
    const warm = Math.max(...usages.slice(0, 5).map(usage => usage[name]))
    if (usages.length < 10 || Math.min(...usages.slice(-5).map(usage => usage[name])) < 1.5 * warm) continue
    broken++
    process.stdout.write(`${name} has grown\n`)
  }
  process.stdout.write(`${JSON.stringify(total, null, 2)}\n`)
  process.stdout.write(`seeds ${values.seed} to ${seed - 1}: ${sends} sends in ${posts} posts, ${broken} broken invariants\n`)
  process.exitCode = broken === 0 ? 0 : 1
}

function add(to: Record<string, number>, more: Record<string, number>) {
  for (const [name, count] of Object.entries(more)) to[name] = (to[name] ?? 0) + count
}
