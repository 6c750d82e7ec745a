import { expect, test } from 'vitest'
import { createBackOff } from '../../../src/store/valkey/options.ts'

test('Each reconnection waits longer than the one before it, up to a second, until a connection has lasted', () => {
  const clock = { ms: 0 }
  const next = createBackOff(() => clock.ms)
  const waits = Array.from({ length: 25 }, () => {
    const waitMs = next()
    clock.ms += 2_000 + waitMs // an attempt may take two seconds
    return waitMs
  })
  clock.ms += 5_000

  expect(waits.slice(0, 3)).toEqual([50, 100, 150])
  expect(waits.slice(-2)).toEqual([1_000, 1_000])
  expect(next()).toBe(50)
})
