import { expect, onTestFinished, test, vi } from 'vitest'
import { RetryBudget } from '../../src/lib/retry-budget.ts'

test.for([10_001, -3_600_000])(
  'A retry budget is a tenth of the calls, two at least, and begins anew when the clock shows %i ms more',
  ms => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const budget = new RetryBudget()
    budget.recordCall()
    expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false])

    vi.setSystemTime(Date.now() + ms)
    for (let n = 0; n < 30; n++) budget.recordCall()
    expect([1, 2, 3, 4].map(() => budget.take())).toEqual([true, true, true, false])
  },
)
