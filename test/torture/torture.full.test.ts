import { expect, test } from 'vitest'
import { installed } from '../store/stores.ts'
import { noServer } from '../store/valkey/server.ts'
import { openStage, torture } from './model.ts'

const alone = noServer || !installed('nginx')

test('2,000 sends through faults and kills are never doubled, and never lost without a word', { timeout: 300_000 }, async () => {
  const tally = await torture({ seed: 4_711, sends: 2_000 })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
})

test.skipIf(alone)(
  'the same of two behind a load balancer with a store that dies and freezes (needs nginx and redis-server)',
  {
    timeout: 300_000,
  },
  async () => {
    const tally = await torture({ seed: 4_712, sends: 2_000, replicas: true })
    process.stdout.write(`${JSON.stringify(tally)}\n`)

    expect(tally.broken).toEqual([])
  },
)

test.skipIf(alone)(
  'a rolling restart behind a load balancer loses no request (needs nginx and redis-server)',
  { timeout: 120_000 },
  async () => {
    const stage = await openStage({ replicas: true })
    const { told, taken } = await stage.roll().finally(stage.close)

    expect(Object.keys(told).sort()).toEqual(['GET 200', 'POST 201'])
    expect(taken).toBe(told['POST 201'])
  },
)
