import { expect, onTestFinished, test, vi } from 'vitest'
import { GatewayProblem } from '../../client/src/client.ts'
import { persistent } from '../../examples/inbox/page/persistent.ts'

const refused = new GatewayProblem({ code: 'insufficient-scope', outcome: 'not_applied', retry: 'no' })
const lost = new TypeError('fetch failed')

test('A task runs once at a time and once more for what was asked meanwhile, and again later until it works or is left', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const runs: { end: () => void; fail: (error: Error) => void }[] = []
  const task = () => new Promise<void>((end, fail) => runs.push({ end, fail }))
  const outcomes: unknown[] = []
  const left = new AbortController()
  const run = persistent(task, { onOutcome: error => outcomes.push(error), signal: left.signal })
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

  void run()
  void run()
  void run()
  expect(runs).toHaveLength(1)
  runs[0]?.end()
  await pass(0)
  expect(runs).toHaveLength(2)
  runs[1]?.fail(lost)
  await pass(1_999)
  expect(runs).toHaveLength(2)
  await pass(1)
  runs[2]?.fail(refused)
  await pass(9_999)
  expect(runs).toHaveLength(3)
  await pass(1)
  runs[3]?.end()
  await pass(60_000)
  expect(runs).toHaveLength(4)
  void run()
  expect(runs).toHaveLength(5)
  left.abort()
  runs[4]?.fail(lost)
  await pass(60_000)

  expect(runs).toHaveLength(5)
  expect(outcomes).toEqual([undefined, lost, refused, undefined])
})
