import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Cancellation } from '../../src/lib/cancellation.ts'
import { Flight } from '../../src/lib/single-flight.ts'

class Work extends Flight<string> {
  abandon() {}
}

/** Joins so many times; `told` are the numbers of those that have heard, in that order. */
function joined(work: Work, count: number) {
  const told: number[] = []
  const callers = Array.from({ length: count }, () => new Cancellation())
  const ends = callers.map(async (caller, n) => {
    await work.join(caller).finally(() => told.push(n))
  })
  return { told, callers, ends: Promise.allSettled(ends) }
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

test('hundreds of waiters hear in their order, a few in each turn, and those of another flight do not wait for them', async () => {
  const [large, small] = [new Work(), new Work()]
  const [many, few] = [joined(large, 100), joined(small, 3)]

  large.succeed('done')
  small.succeed('done')
  await turn()

  expect(few.told).toEqual(numbers(3))
  expect(many.told.length).toBeLessThan(100)
  await many.ends
  expect(many.told).toEqual(numbers(100))
})

test('two large flights that end together both end', async () => {
  const [first, second] = [new Work(), new Work()]
  const ends = [joined(first, 40), joined(second, 50)].map(({ ends }) => ends)

  first.succeed('done')
  second.fail(new Error('failed'))

  const [succeeded = [], failed = []] = await Promise.all(ends)
  expect(succeeded.map(({ status }) => status)).toEqual(Array(40).fill('fulfilled'))
  expect(failed.map(({ status }) => status)).toEqual(Array(50).fill('rejected'))
})

test('a waiter that leaves before its turn hears that it has left, not how the work ended', async () => {
  const work = new Work()
  const { callers, ends } = joined(work, 40)
  const left = new Error('left')

  work.fail(new Error('failed'))
  callers[39]?.cancel(left)

  const results = await ends
  expect(results[39]).toEqual({ status: 'rejected', reason: left })
  expect(results[0]).toMatchObject({ reason: { message: 'failed' } })
})
