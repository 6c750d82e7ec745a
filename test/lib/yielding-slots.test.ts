import { afterEach, describe, expect, test, vi } from 'vitest'
import { YieldingSlots } from '../../src/lib/yielding-slots.ts'

describe('Slots that yield', () => {
  afterEach(() => void vi.useRealTimers())

  const start = (isBusy = false) => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
    const state = { isBusy, granted: [] as number[] }
    const slots = new YieldingSlots({ limit: 2, mustYield: () => state.isBusy, patienceMs: 1_000 })
    const acquire = (name: number) => void slots.acquire().then(() => state.granted.push(name))
    return { state, slots, acquire }
  }

  test('are given in order of arrival, as many as there are', async () => {
    const { state, slots, acquire } = start()
    for (const name of [1, 2, 3, 4]) acquire(name)
    await vi.advanceTimersByTimeAsync(5_000)

    expect(state.granted).toEqual([1, 2])
    slots.release()
    await vi.advanceTimersByTimeAsync(0)
    expect(state.granted).toEqual([1, 2, 3])
    expect(vi.getTimerCount(), 'the next slot that comes free asks again').toBe(0)
  })

  test('are given once others need nothing any more, or after the patience', async () => {
    const { state, slots, acquire } = start(true)
    for (const name of [1, 2]) acquire(name)
    await vi.advanceTimersByTimeAsync(900)
    const whileBusy = [...state.granted]
    expect(vi.getTimerCount(), 'one timer for all that wait').toBe(1)
    state.isBusy = false
    await vi.advanceTimersByTimeAsync(20)
    const afterwards = [...state.granted]
    state.isBusy = true
    slots.release()
    acquire(3)
    await vi.advanceTimersByTimeAsync(1_020)

    expect([whileBusy, afterwards, state.granted]).toEqual([[], [1, 2], [1, 2, 3]])
    expect(vi.getTimerCount(), 'no timer is left').toBe(0)
  })
})
