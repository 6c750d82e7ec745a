import { expect, onTestFinished, test, vi } from 'vitest'
import { RetryBudget } from '../../src/lib/retry-budget.ts'

test.for([10_001, -3_600_000])('A retry budget begins anew when the clock shows %i ms more', ms => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const budget = new RetryBudget()
  budget.recordCall()
  expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false])

  vi.setSystemTime(Date.now() + ms)
  budget.recordCall()
  expect(budget.take()).toBe(true)
})
