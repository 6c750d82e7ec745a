import { expect, test } from 'vitest'
import { installed } from '../store/stores.ts'
import { noServer } from '../store/valkey/server.ts'
import { runEventsRound } from './events-round.ts'

const alone = noServer || !installed('nginx')
const short = { disturbances: 3, downMs: 5_000 }

test('consumers and webhooks get every event once its poller was killed or frozen, in order, whatever receivers do', {
  timeout: 600_000,
}, async () => {
  const tally = await runEventsRound({ seed: 4_714, ...short })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
  expect(tally.work.takeovers).toBe(2)
})

test.skipIf(alone)('so do those of two replicas (needs nginx and redis-server)', { timeout: 600_000 }, async () => {
  const tally = await runEventsRound({ seed: 4_715, ...short, replicas: true })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
  expect(tally.work.takeovers).toBe(2)
})
