import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Cancellation } from '../../src/lib/cancellation.ts'
import { Flight } from '../../src/lib/single-flight.ts'

class Work extends Flight<string> {
  abandon() {}
}

/** Joins so many times; `settled` has the number of each waiter, in the order in which they settle. */
function joined(work: Work, count: number) {
  const settled: number[] = []
  const callers = Array.from({ length: count }, () => new Cancellation())
  const ends = callers.map(async (caller, n) => {
    await work.join(caller).finally(() => settled.push(n))
  })
  return { settled, callers, ends: Promise.allSettled(ends) }
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

test('settles a hundred waiters in order, a batch in each turn, without delaying another flight', async () => {
  const [large, small] = [new Work(), new Work()]
  const [many, few] = [joined(large, 100), joined(small, 3)]

  large.succeed('done')
  small.succeed('done')
  await turn()

  expect(few.settled).toEqual(numbers(3))
  expect(many.settled.length).toBeLessThan(100)
  await many.ends
  expect(many.settled).toEqual(numbers(100))
})

test('settles every waiter of two large flights that end together', async () => {
  const [first, second] = [new Work(), new Work()]
  const ends = [joined(first, 40), joined(second, 50)].map(({ ends }) => ends)

  first.succeed('done')
  second.fail(new Error('failed'))

  const [succeeded = [], failed = []] = await Promise.all(ends)
  expect(succeeded.map(({ status }) => status)).toEqual(Array(40).fill('fulfilled'))
  expect(failed.map(({ status }) => status)).toEqual(Array(50).fill('rejected'))
})

test('rejects a waiter that was cancelled before its batch with the reason of its cancellation', async () => {
  const work = new Work()
  const { callers, ends } = joined(work, 40)
  const left = new Error('left')

  work.fail(new Error('failed'))
  callers[39]?.cancel(left)

  const results = await ends
  expect(results[39]).toEqual({ status: 'rejected', reason: left })
  expect(results[0]).toMatchObject({ reason: { message: 'failed' } })
})
