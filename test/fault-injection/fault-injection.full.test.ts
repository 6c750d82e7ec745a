import { expect, test } from 'vitest'
import { installed } from '../store/stores.ts'
import { noServer } from '../store/valkey/server.ts'
import { restartInTurn } from './rolling-restart.ts'
import { injectFaults } from './round.ts'
import { openSetup } from './setup.ts'

const alone = noServer || !installed('nginx')

test('2,000 sends through every fault and kill are never doubled, and never lost without a trace', { timeout: 600_000 }, async () => {
  const tally = await injectFaults({ seed: 4_711, sends: 2_000, disturbances: 14 })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
})

test.skipIf(alone)(
  'nor are those of two replicas behind a load balancer, with a store that dies and freezes (needs nginx and redis-server)',
  { timeout: 600_000 },
  async () => {
    const tally = await injectFaults({ seed: 4_712, sends: 2_000, disturbances: 14, replicas: true })
    process.stdout.write(`${JSON.stringify(tally)}\n`)

    expect(tally.broken).toEqual([])
  },
)

test.skipIf(alone)(
  'a rolling restart behind a load balancer loses no request (needs nginx and redis-server)',
  { timeout: 120_000 },
  async () => {
    const setup = await openSetup({ replicas: true })
    const { answers, taken } = await restartInTurn(setup).finally(setup.close)

    expect(Object.keys(answers).sort()).toEqual(['GET 200', 'POST 201'])
    expect(taken).toBe(answers['POST 201'])
  },
)
