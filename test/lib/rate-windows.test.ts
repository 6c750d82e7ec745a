import { afterEach, describe, expect, test, vi } from 'vitest'
import { createRateWindows } from '../../src/lib/rate-windows.ts'

describe('A window', () => {
  afterEach(() => void vi.useRealTimers())
  const start = (maxKeys = 10) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    return createRateWindows({ windowMs: 60_000, maxKeys })
  }

  test('begins with the first event of its key and ends a minute later', () => {
    const windows = start()

    expect(windows.count('a', 2)).toEqual({ max: 2, remaining: 1, resetMs: 60_000, isExceeded: false })
    vi.advanceTimersByTime(40_000)
    expect(windows.count('a', 2)).toEqual({ max: 2, remaining: 0, resetMs: 20_000, isExceeded: false })
    expect(windows.count('a', 2)).toEqual({ max: 2, remaining: 0, resetMs: 20_000, isExceeded: true })
    vi.advanceTimersByTime(20_000)
    expect(windows.count('a', 2)).toEqual({ max: 2, remaining: 1, resetMs: 60_000, isExceeded: false })
  })

  test('is as long as it says from its first event, at any instant', () => {
    const windows = createRateWindows({ windowMs: 60_000, maxKeys: 10 })
    for (const now of [5_536.1, 5_607.801]) {
      vi.spyOn(performance, 'now').mockReturnValue(now)
      expect(windows.count(String(now), 1).resetMs).toBe(60_000)
    }
    vi.restoreAllMocks()
  })

  test('is shared with no other key', () => {
    const windows = start()
    windows.count('a', 1)

    expect(windows.count('b', 1).isExceeded).toBe(false)
    expect(windows.count('__proto__', 1).isExceeded).toBe(false)
    expect(windows.count('a', 1).isExceeded).toBe(true)
  })

  test('is forgotten beyond the most keys, the one that ends first', () => {
    const windows = start(2)
    windows.count('a', 1)
    windows.count('b', 1)
    windows.count('a', 1)
    windows.count('c', 1)

    expect(windows.count('b', 1).isExceeded).toBe(true)
    expect(windows.count('a', 1).isExceeded, 'its window was the oldest').toBe(false)
  })

  test('that begins anew outlives one that ends before it', () => {
    const windows = start(3)
    windows.count('a', 1)
    vi.advanceTimersByTime(30_000)
    windows.count('b', 1)
    vi.advanceTimersByTime(30_000)
    for (const key of ['a', 'c', 'd']) windows.count(key, 1)

    expect(windows.count('a', 1).isExceeded).toBe(true)
  })
})
