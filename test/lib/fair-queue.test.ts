import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FairQueue, type Waiter } from '../../src/lib/fair-queue.ts'

/** Takes a slot or waits for one; returns what gives it back, or `undefined` if it is refused. */
function acquire(queue: FairQueue, options: Pick<Waiter, 'caller' | 'onAcquired'> & Partial<Waiter>) {
  const waiter: Waiter = { position: 'none', onEvicted() {}, ...options }
  return queue.acquire(waiter) ? () => queue.release(waiter) : undefined
}

/** Lets visitors in by name and remembers who got in, in order. */
function door(capacity: number, queueLength: number) {
  const queue = new FairQueue(capacity, queueLength)
  const inside: string[] = []
  const evicted: string[] = []
  const enter = (name: string, caller = 'someone') =>
    acquire(queue, { caller, onAcquired: () => void inside.push(name), onEvicted: () => void evicted.push(name) })
  return { enter, inside, evicted }
}

describe('slots of a fair queue', () => {
  test('let in at once while there is room, and then in order', () => {
    const { enter, inside } = door(2, 2)
    const leaves = ['a', 'b', 'c', 'd'].map(name => enter(name))
    const before = [...inside]

    leaves[1]?.()
    leaves[0]?.()

    expect(before).toEqual(['a', 'b'])
    expect(inside).toEqual(['a', 'b', 'c', 'd'])
  })

  test('turn away whom the queue cannot hold', () => {
    const { enter, inside } = door(1, 1)

    const leaves = ['a', 'b', 'c'].map(name => enter(name))

    expect(leaves.map(leave => typeof leave)).toEqual(['function', 'function', 'undefined'])
    expect(inside).toEqual(['a'])
  })

  test('forget a waiter that leaves the queue', () => {
    const { enter, inside } = door(1, 2)
    const [leaveA, leaveB] = ['a', 'b', 'c'].map(name => enter(name))

    leaveB?.()
    leaveA?.()

    expect(inside).toEqual(['a', 'c'])
  })

  test('are given up once, however often that is said', () => {
    const { enter, inside } = door(1, 3)
    const [leaveA, leaveB] = ['a', 'b', 'c', 'd'].map(name => enter(name))

    leaveA?.()
    leaveA?.()
    const afterA = [...inside]
    leaveB?.()
    leaveA?.()

    expect(afterA).toEqual(['a', 'b'])
    expect(inside).toEqual(['a', 'b', 'c'])
  })

  test('can be left and taken from within', () => {
    const queue = new FairQueue(1, 1)
    const inside: string[] = []
    const caller = 'someone'
    const leave = acquire(queue, { caller, onAcquired: () => void inside.push('a') })
    acquire(queue, {
      caller,
      onAcquired() {
        inside.push('b')
        expect(acquire(queue, { caller, onAcquired: () => void inside.push('c') })).toBeTypeOf('function')
      },
    })

    leave?.()

    expect(inside).toEqual(['a', 'b'])
  })

  test('go to the caller with the fewest, not to the one that came first', () => {
    const { enter, inside } = door(4, 10)
    const greedy = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6'].map(name => enter(name, 'a'))
    for (const name of ['b1', 'b2', 'b3']) enter(name, 'b')

    for (const leave of greedy) leave?.()

    expect(inside).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'a5', 'a6', 'b3'])
  })

  test('may all be one caller’s while no other waits', () => {
    const { enter, inside } = door(2, 2)

    const leaves = ['a1', 'a2', 'a3', 'a4', 'a5'].map(name => enter(name, 'a'))

    expect(inside).toEqual(['a1', 'a2'])
    expect(leaves.map(leave => typeof leave)).toEqual(['function', 'function', 'function', 'function', 'undefined'])
  })

  test('keep half of the queue for others while they wait', () => {
    const { enter } = door(1, 4)
    enter('a1', 'a')
    enter('b1', 'b')

    const more = ['a2', 'a3', 'a4'].map(name => enter(name, 'a'))

    expect(more.map(leave => typeof leave)).toEqual(['function', 'function', 'undefined'])
  })

  test('keep half of the queue for others also where they hold more slots', () => {
    const { enter, evicted } = door(4, 4)
    for (const name of ['b1', 'b2', 'b3', 'b4', 'b5', 'b6']) enter(name, 'b')

    const more = ['a1', 'a2', 'a3'].map(name => enter(name, 'a'))

    expect(more.map(leave => typeof leave)).toEqual(['function', 'function', 'undefined'])
    expect(evicted).toEqual([])
  })

  test('go to callers in turns where they hold equally many', () => {
    const { enter, inside } = door(1, 6)
    const leaves = ['a1', 'a2', 'a3'].map(name => enter(name, 'a'))
    leaves.push(...['b1', 'b2'].map(name => enter(name, 'b')))

    for (const n of [0, 1, 3, 2]) leaves[n]?.()

    expect(inside).toEqual(['a1', 'a2', 'b1', 'a3', 'b2'])
  })

  test('are as near for a caller as its turn, however many of another wait', () => {
    const queue = new FairQueue(1, 10)
    for (let n = 0; n < 6; n++) acquire(queue, { caller: 'a', onAcquired() {} })

    expect([queue.positionOf('a'), queue.positionOf('b')]).toEqual([6, 2])
    acquire(queue, { caller: 'b', onAcquired() {} })
    expect(queue.positionOf('b')).toBe(4)
  })

  test('take the last from the longest queue to make room for a caller who has none', () => {
    const { enter, inside, evicted } = door(1, 3)
    const first = enter('a1', 'a')
    const [, , last] = ['a2', 'a3', 'a4'].map(name => enter(name, 'a'))

    const newcomers = ['b1', 'c1', 'd1', 'e1'].map(name => enter(name, name))
    last?.()
    first?.()

    expect(newcomers.map(leave => typeof leave)).toEqual(['function', 'function', 'function', 'undefined'])
    expect(evicted).toEqual(['a4', 'a3', 'a2'])
    expect(inside).toEqual(['a1', 'b1'])
  })

  test('go in turns even if there is one place, and one in the queue', () => {
    const { enter, inside } = door(1, 1)
    const leaves = [enter('a1', 'a'), enter('a2', 'a')]

    leaves.push(enter('b1', 'b'))
    const again = enter('a3', 'a')
    leaves[0]?.()

    expect(again, 'b waits, and a has as much').toBeUndefined()
    expect(inside).toEqual(['a1', 'b1'])
  })

  test('are never empty while somebody waits, nor granted past one who has fewer, whatever happens', () => {
    const steps = fc.array(fc.record({ leaves: fc.boolean(), who: fc.nat() }), { maxLength: 80 })

    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.nat({ max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        steps,
        (capacity, queueLength, callers, steps) => {
          const queue = new FairQueue(capacity, queueLength)
          const guests: { caller: string; state: 'waiting' | 'inside' | 'gone' | 'evicted'; leave?: () => void }[] = []
          const count = (state: string, caller?: string) =>
            guests.filter(guest => guest.state === state && (caller === undefined || guest.caller === caller)).length
          const names = Array.from({ length: callers }, (_, i) => `caller ${i}`)
          for (const { leaves, who } of steps) {
            const guest = guests[who % guests.length]
            if (leaves && guest) {
              if (guest.state !== 'evicted') guest.state = 'gone'
              const before = names.map(name => ({ name, waiting: count('waiting', name), inside: count('inside', name) }))
              guest.leave?.()
              const served = before.find(({ name, inside }) => count('inside', name) > inside)
              if (served) for (const { waiting, inside } of before) if (waiting > 0) expect(served.inside).toBeLessThanOrEqual(inside)
            } else {
              const caller = names[who % callers] ?? ''
              const own = count('waiting', caller)
              const others = count('waiting') - own
              const newcomer: (typeof guests)[number] = { caller, state: 'waiting' }
              const admits = queue.admits(caller)
              const full = count('inside') === capacity && own === queueLength
              const onAcquired = () => {
                newcomer.state = 'inside'
              }
              const onEvicted = () => {
                newcomer.state = 'evicted'
              }
              const leave = acquire(queue, { caller, onAcquired, onEvicted })
              expect(leave !== undefined).toBe(admits)
              if (leave) guests.push(Object.assign(newcomer, { leave }))
              if (leave && newcomer.state === 'waiting' && others > 0)
                expect(count('waiting', caller) * 2).toBeLessThanOrEqual(Math.max(queueLength, 2))
              if (others === 0) expect(leave === undefined).toBe(full)
            }
            expect(count('inside')).toBeLessThanOrEqual(capacity)
            expect(count('waiting')).toBeLessThanOrEqual(queueLength)
            if (count('waiting') > 0) expect(count('inside')).toBe(capacity)
          }
        },
      ),
    )
  })
})
