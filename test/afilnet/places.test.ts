import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createPlaces } from '../../src/afilnet/places.ts'

/** Lets visitors in by name and remembers who got in, in order. */
function door(capacity: number, queueLength: number) {
  const places = createPlaces(capacity, queueLength)
  const inside: string[] = []
  const enter = (name: string) => places.enter(() => inside.push(name))
  return { enter, inside }
}

describe('places', () => {
  test('let in at once while there is room, and then in order', () => {
    const { enter, inside } = door(2, 2)
    const leaves = ['a', 'b', 'c', 'd'].map(enter)
    const before = [...inside]

    leaves[1]?.()
    leaves[0]?.()

    expect(before).toEqual(['a', 'b'])
    expect(inside).toEqual(['a', 'b', 'c', 'd'])
  })

  test('turn away whom the queue cannot hold', () => {
    const { enter, inside } = door(1, 1)

    const leaves = ['a', 'b', 'c'].map(enter)

    expect(leaves.map(leave => typeof leave)).toEqual(['function', 'function', 'undefined'])
    expect(inside).toEqual(['a'])
  })

  test('forget whoever leaves the queue', () => {
    const { enter, inside } = door(1, 2)
    const [leaveA, leaveB] = ['a', 'b', 'c'].map(enter)

    leaveB?.()
    leaveA?.()

    expect(inside).toEqual(['a', 'c'])
  })

  test('are given up once, however often that is said', () => {
    const { enter, inside } = door(1, 3)
    const [leaveA, leaveB] = ['a', 'b', 'c', 'd'].map(enter)

    leaveA?.()
    leaveA?.()
    const afterA = [...inside]
    leaveB?.()
    leaveA?.()

    expect(afterA).toEqual(['a', 'b'])
    expect(inside).toEqual(['a', 'b', 'c'])
  })

  test('can be left and taken from within', () => {
    const places = createPlaces(1, 1)
    const inside: string[] = []
    const leave = places.enter(() => inside.push('a'))
    places.enter(() => {
      inside.push('b')
      expect(places.enter(() => inside.push('c'))).toBeTypeOf('function')
    })

    leave?.()

    expect(inside).toEqual(['a', 'b'])
  })

  test('hold as many as they can and never more, whatever happens', () => {
    const steps = fc.array(fc.record({ leaves: fc.boolean(), who: fc.nat() }), { maxLength: 60 })

    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.nat({ max: 4 }), steps, (capacity, queueLength, steps) => {
        const places = createPlaces(capacity, queueLength)
        const guests: { state: 'waiting' | 'inside' | 'gone'; leave?: () => void }[] = []
        const count = (state: string) => guests.filter(guest => guest.state === state).length
        for (const { leaves, who } of steps) {
          const guest = guests[who % guests.length]
          if (leaves && guest) {
            guest.state = 'gone'
            guest.leave?.()
          } else {
            const full = count('inside') + count('waiting') === capacity + queueLength
            const newcomer: (typeof guests)[number] = { state: 'waiting' }
            const leave = places.enter(() => {
              newcomer.state = 'inside'
            })
            expect(leave === undefined).toBe(full)
            if (leave) guests.push(Object.assign(newcomer, { leave }))
          }
          expect(count('inside')).toBeLessThanOrEqual(capacity)
          if (count('waiting') > 0) expect(count('inside')).toBe(capacity)
        }
      }),
    )
  })
})
