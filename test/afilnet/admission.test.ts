import { describe, expect, test } from 'vitest'
import { Admission } from '../../src/afilnet/admission.ts'
import { getChats, sendMessage } from '../../src/afilnet/operations.ts'
import type { Waiter } from '../../src/lib/fair-queue.ts'

const acquire = (admission: Admission, caller: string) => {
  const waiter: Waiter = { caller, position: 'none', onAcquired() {}, onEvicted() {} }
  return admission.acquire(waiter)
}

/** All of its slots are taken. */
function full({ connections }: { connections: number }) {
  const admission = new Admission({ connections, timeoutMs: 10_000 })
  for (let n = 0; n < connections; n++) acquire(admission, 'busy')
  return admission
}

describe('A call may wait', () => {
  const operations = { read: getChats, send: sendMessage }

  test.for([
    ['whose caller has made none', 'send', 'another', 4_000, 1_000],
    ['of the length of its caller’s calls', 'send', 'busy', 4_000, 1_000 + 4_000],
    ['if it reads, with half of a budget', 'read', 'busy', 8_000, 2_000 + 5_000],
    ['if it sends, with all that it may need', 'send', 'busy', 8_000, 2_000 + 8_000],
    ['after late calls, as after those that used up their budget', 'send', 'another', 40_000, 2_500],
  ] as const)('if it can end in time: one %s', ([, kind, caller, heldMs, leastMs]) => {
    const admission = full({ connections: 4 })
    admission.recordHoldTime('busy', heldMs)

    const canServe = (budgetMs: number) => admission.canServe(operations[kind], caller, budgetMs)
    expect([canServe(leastMs), canServe(leastMs + 1)]).toEqual([false, true])
  })

  test('only where the queue has a place', () => {
    const admission = full({ connections: 1 })
    const canServe = () => admission.canServe(getChats, 'someone', 10_000)

    expect(canServe()).toBe(true)
    expect(acquire(admission, 'someone')).toBe(true)
    expect(canServe()).toBe(false)
  })
})

test('A refused call gets a Retry-After that the hold times of the last sixteen calls suggest', () => {
  const admission = full({ connections: 1 })
  const { retryAfterS } = admission.overloaded(sendMessage, 'someone')
  expect(retryAfterS, 'nothing is known').toBe(1)
  for (let n = 0; n < 100; n++) admission.recordHoldTime('busy', 600)
  admission.recordHoldTime('busy', 9_000)

  expect(admission.overloaded(sendMessage, 'someone').retryAfterS).toBe(2) // 1,125 ms
})

test('A quarter of the slots at most belong to late calls, and none of those comes free for a call that waits', () => {
  const admission = full({ connections: 8 })
  admission.recordHoldTime('busy', 6_000)
  const canServe = () => admission.canServe(sendMessage, 'another', 1_000) // it waits for 6,000 / 8 ms

  expect(canServe()).toBe(true)
  expect([1, 2, 3].map(() => admission.startLate())).toEqual([true, true, false])
  expect(canServe()).toBe(false)
  admission.endLate()
  expect(admission.startLate()).toBe(true)
})
