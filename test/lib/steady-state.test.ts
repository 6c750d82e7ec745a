import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createSteadyState } from '../../src/lib/steady-state.ts'

function observed() {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const reports: [boolean, string][] = []
  return { reports, state: createSteadyState<string>((ok, detail) => void reports.push([ok, detail])) }
}

describe('createSteadyState', () => {
  test('reports a loss at once, and a recovery once it has lasted', () => {
    const { reports, state } = observed()

    state.set(false, 'busy')
    expect(reports).toEqual([[false, 'busy']])

    state.set(true, 'back')
    expect(state.ok).toBe(false)
    vi.advanceTimersByTime(2_000)
    state.set(true, 'still') // no change, and so no new wait
    expect(reports).toHaveLength(1)
    vi.advanceTimersByTime(1_000)
    expect(reports).toEqual([
      [false, 'busy'],
      [true, 'back'],
    ])
    expect(state.ok).toBe(true)
  })

  test('reports a state that flaps once', () => {
    const { reports, state } = observed()

    for (let i = 0; i < 50; i++) {
      state.set(false, 'busy')
      vi.advanceTimersByTime(1_000)
      state.set(true, 'back')
      expect(state.ok).toBe(false)
      vi.advanceTimersByTime(1_000)
    }
    vi.advanceTimersByTime(10_000)

    expect(reports).toEqual([
      [false, 'busy'],
      [true, 'back'],
    ])
  })
})
