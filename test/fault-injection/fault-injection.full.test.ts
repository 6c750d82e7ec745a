import { expect, test } from 'vitest'
import { installed } from '../store/stores.ts'
import { noServer } from '../store/valkey/server.ts'
import { restartInTurn } from './rolling-restart.ts'
import { injectFaults } from './round.ts'
import { openSetup } from './setup.ts'

const alone = noServer || !installed('nginx')

test('sends, queued ones, uploads and tokens survive every fault and kill: none is doubled, or lost without a trace', {
  timeout: 900_000,
}, async () => {
  const tally = await injectFaults({ seed: 4_710, sends: 500, disturbances: 8 })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
})

test.skipIf(alone)(
  'so do those of two replicas behind a load balancer, with a store that dies and freezes (needs nginx and redis-server)',
  { timeout: 900_000 },
  async () => {
    const tally = await injectFaults({ seed: 4_712, sends: 500, disturbances: 8, replicas: true })
    process.stdout.write(`${JSON.stringify(tally)}\n`)

    expect(tally.broken).toEqual([])
  },
)

test.skipIf(alone)(
  'a rolling restart behind a load balancer loses no request (needs nginx and redis-server)',
  { timeout: 120_000 },
  async () => {
    const setup = await openSetup({ replicas: true, timeoutMs: 10_000 }) // a busy machine is no restart
    const { answers, taken } = await restartInTurn(setup).finally(setup.close)

    expect(Object.keys(answers).sort()).toEqual(['GET 200', 'POST 201'])
    expect(taken).toBe(answers['POST 201'])
  },
)
