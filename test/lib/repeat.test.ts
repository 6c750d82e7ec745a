import { expect, onTestFinished, test, vi } from 'vitest'
import { repeat } from '../../src/lib/repeat.ts'

test('A job runs at once and then in its interval, one run at a time, also after a failure, until it is stopped', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const runs: PromiseWithResolvers<void>[] = []
  const stop = repeat(1_000, () => {
    const run = Promise.withResolvers<void>()
    runs.push(run)
    return run.promise
  })
  const counts = [runs.length]
  const count = async () => {
    await vi.advanceTimersByTimeAsync(1_000)
    counts.push(runs.length)
  }

  await count()
  runs[0]?.reject(new Error('failed'))
  await count()
  runs[1]?.resolve()
  await count()
  runs[2]?.resolve()
  stop()
  await count()

  expect(counts).toEqual([1, 1, 2, 3, 3])
  expect(vi.getTimerCount()).toBe(0)
})
