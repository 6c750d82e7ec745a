import { expect, test } from 'vitest'
import { loadOnce } from '../../src/lib/load-once.ts'

test('loads with the first call and never again', async () => {
  let loads = 0
  const load = loadOnce(async () => ++loads)

  expect(loads).toBe(0)
  expect(await Promise.all([load(), load()])).toEqual([1, 1])
  expect(await load()).toBe(1)
})

test('tries a load that failed again with the next call', async () => {
  let loads = 0
  const load = loadOnce(async () => {
    if (++loads === 1) throw new Error('too many open files')
    return loads
  })

  await expect(Promise.all([load(), load()])).rejects.toThrow('too many open files')
  expect(await load()).toBe(2)
})
