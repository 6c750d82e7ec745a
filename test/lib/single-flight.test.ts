import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Cancellation } from '../../src/lib/cancellation.ts'
import { Flight, type FlightWaiter } from '../../src/lib/single-flight.ts'

class Work extends Flight<string> {
  readonly abandoned: Error[] = []
  abandon(reason: Error) {
    this.abandoned.push(reason)
  }
}

/** Joins so many times; `settled` has the number of each waiter, in the order in which they settle. */
function joined(work: Work, count: number) {
  const settled: number[] = []
  const waiters: FlightWaiter<string>[] = []
  const callers = Array.from({ length: count }, () => new Cancellation())
  const ends = callers.map(
    (cancellation, n) =>
      new Promise<string>((resolve, reject) => {
        const settle =
          <V>(end: (value: V) => void) =>
          (value: V) => {
            settled.push(n)
            end(value)
          }
        const onCancelled = (reason: Error) => work.leave(waiter, reason)
        const waiter = { cancellation, succeed: settle(resolve), fail: settle(reject), onCancelled }
        waiters.push(waiter)
        work.join(waiter)
      }),
  )
  return { settled, callers, waiters, ends: Promise.allSettled(ends) }
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

test('settles two hundred waiters in order, a batch in each turn, without delaying another flight', async () => {
  const [large, small] = [new Work(), new Work()]
  const [many, few] = [joined(large, 200), joined(small, 3)]

  large.succeed('done')
  small.succeed('done')
  await turn()

  expect(few.settled).toEqual(numbers(3))
  expect(
    [...few.callers, ...many.callers].filter(({ listener }) => listener),
    'no request keeps the answer alive',
  ).toEqual([])
  expect(many.settled.length).toBeLessThan(200)
  await many.ends
  expect(many.settled).toEqual(numbers(200))
})

test('settles every waiter of two large flights that end together', async () => {
  const [first, second] = [new Work(), new Work()]
  const [a, b] = [joined(first, 140), joined(second, 150)]

  first.succeed('done')
  second.fail(new Error('failed'))

  expect(a.settled.length + b.settled.length, 'one batch in this turn').toBe(64)
  const [succeeded, failed] = await Promise.all([a.ends, b.ends])
  expect(succeeded.map(({ status }) => status)).toEqual(Array(140).fill('fulfilled'))
  expect(failed.map(({ status }) => status)).toEqual(Array(150).fill('rejected'))
})

test('rejects a waiter that was cancelled before its batch with the reason of its cancellation', async () => {
  const work = new Work()
  const { callers, ends } = joined(work, 140)
  const left = new Error('left')

  work.fail(new Error('failed'))
  callers[139]?.cancel(left)

  const results = await ends
  expect(results[139]).toEqual({ status: 'rejected', reason: left })
  expect(results[0]).toMatchObject({ reason: { message: 'failed' } })
})

test('gives the result to a waiter whose own time ends before its batch, once', async () => {
  const work = new Work()
  const { settled, waiters, ends } = joined(work, 140)

  work.succeed('done')
  for (const waiter of waiters) work.leave(waiter, new Error('too late'))

  expect(await ends).toEqual(Array(140).fill({ status: 'fulfilled', value: 'done' }))
  expect(settled).toEqual(numbers(140))
  expect(work.abandoned).toEqual([])
})
