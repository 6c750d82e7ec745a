import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Candidate, rowOf, type Sighting } from '../../src/sends/match.ts'
import { Sightings } from '../../src/sends/sightings.ts'

const sent = (id: string, over: Partial<Candidate> = {}): Candidate => ({ id, state: 'unknown', beganAt: 1_000, settledAt: 2_000, ...over })
const row = (messageId: string, over: Partial<Sighting> = {}): Sighting => ({
  messageId,
  absentAt: 900,
  newTo: 5_000,
  seenAt: 5_000,
  ...over,
})
const mine = sent('mine')

describe('The row of a send', () => {
  test('is the only new row with its text', () => {
    expect(rowOf(mine, [mine], [row('1')])).toMatchObject({ messageId: '1' })
    expect(rowOf(mine, [mine], [])).toBe(undefined)
    expect(rowOf(mine, [mine], [row('1'), row('2')])).toBe(undefined)
  })

  test('was not there before the send', () => {
    expect(rowOf(mine, [mine], [row('1', { newTo: 999 })])).toBe(undefined)
    expect(rowOf(mine, [mine], [row('1', { newTo: 999 }), row('2')])).toMatchObject({ messageId: '2' })
  })

  test.for(['unknown', 'pending', 'accepted'] as const)('is not certain while another send can be it: %s', state => {
    expect(rowOf(mine, [mine, sent('other', { state })], [row('1')])).toBe(undefined)
  })

  test.for(['rejected', 'not_sent'] as const)('is certain if the other one is %s', state => {
    expect(rowOf(mine, [mine, sent('other', { state })], [row('1')])).toMatchObject({ messageId: '1' })
  })

  test('is certain if the other one has a row of its own', () => {
    expect(rowOf(mine, [mine, sent('other', { messageId: '1' })], [row('1'), row('2')])).toMatchObject({ messageId: '2' })
    expect(rowOf(mine, [mine, sent('other', { messageId: '1' })], [row('1')])).toBe(undefined)
  })

  test('is certain if the other one had ended while the row was not there, or began when it was', () => {
    const before = { beganAt: 100, settledAt: 800 }
    expect(rowOf(mine, [mine, sent('other', { ...before, state: 'accepted' })], [row('1')])).toMatchObject({ messageId: '1' })
    expect(rowOf(mine, [mine, sent('other', before)], [row('1')]), 'an unknown one may come late').toBe(undefined)
    expect(rowOf(mine, [mine, sent('other', before)], [row('1', { absentAt: 60_801 })])).toMatchObject({ messageId: '1' })
    expect(rowOf(mine, [mine, sent('other', { beganAt: 5_001, settledAt: 6_000 })], [row('1')])).toMatchObject({ messageId: '1' })
  })
})

describe('The rows that were seen', () => {
  const chat = (destination: number) => ({ user: 'ops', platform: 'whatsapp', platformId: '100', destination: String(destination) })
  const rows = Array.from({ length: 100 }, (_, n) => ({ ...row(String(n)), digest: 'of its text', status: 'sent' }))

  test('are forgotten with their conversation when all conversations have many, the oldest first', () => {
    const sightings = new Sightings(() => 0)
    for (let n = 0; n < 1_000; n++) sightings.add(chat(n), rows)
    expect(sightings.of(chat(0))).toHaveLength(100)

    sightings.add(chat(1_000), rows)

    expect(sightings.of(chat(1)), 'the one that was not asked for').toEqual([])
    expect(sightings.of(chat(0))).toHaveLength(100)
    expect(sightings.of(chat(1_000))).toHaveLength(100)
  })
})

describe('Whatever happened', () => {
  // What became of each send with one text: Afilnet has a row of it or not, at some time between its begin and a minute after its end.
  const fate = fc.record({
    beganAt: fc.integer({ min: 0, max: 20 }),
    took: fc.integer({ min: 0, max: 10 }),
    end: fc.constantFrom('accepted', 'unknown', 'pending', 'rejected', 'not_sent'),
    shown: fc.boolean(),
    delay: fc.integer({ min: 0, max: 10 }),
  })
  // The conversation is read at these times; what is seen first by a read was not there at the one before.
  const reads = fc
    .uniqueArray(fc.integer({ min: 0, max: 45 }), { minLength: 2, maxLength: 8 })
    .map(times => times.toSorted((a, b) => a - b))

  test('no send gets the row of another one', () => {
    let matched = 0
    fc.assert(
      fc.property(fc.array(fate, { minLength: 1, maxLength: 4 }), reads, (fates, times) => {
        const sends = fates.map(({ beganAt, took, end }, n): Candidate => {
          const state = end as Candidate['state']
          return { id: String(n), state, beganAt, ...(end !== 'pending' && { settledAt: beganAt + took }) }
        })
        const sightings = fates.flatMap(({ beganAt, took, end, shown, delay }, n): Sighting[] => {
          if (end === 'rejected' || end === 'not_sent' || (end !== 'accepted' && !shown)) return []
          const at = beganAt + (end === 'accepted' ? Math.min(took, delay) : delay)
          const seen = times.findIndex(time => time > at)
          const [absentAt, seenAt] = [times[seen - 1], times[seen]]
          return absentAt === undefined || seenAt === undefined ? [] : [{ messageId: `row ${n}`, absentAt, newTo: seenAt, seenAt }]
        })
        for (const send of sends) {
          const found = rowOf(send, sends, sightings)
          if (found) {
            matched++
            expect(found.messageId).toBe(`row ${send.id}`)
          }
        }
      }),
      { numRuns: 20_000 },
    )
    expect(matched).toBeGreaterThan(1_000)
  })

  test('a send on its own gets its row if the conversation was read before and after', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 50 }), (beganAt, delay) => {
        const alone = sent('alone', { beganAt, settledAt: beganAt + 10 })
        const seenAt = beganAt + delay + 1
        expect(rowOf(alone, [alone], [{ messageId: '1', absentAt: 0, newTo: seenAt, seenAt }])).toMatchObject({ messageId: '1' })
      }),
    )
  })
})
