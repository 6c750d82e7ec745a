import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutPage, type PageOptions, type PageRow } from '../../src/routes/list-page.ts'

type Row = PageRow & { n: number }

const at = (second: number) => `2026-01-31 09:30:${String(second).padStart(2, '0')}`
const rowsAt = (...seconds: (number | null)[]): Row[] =>
  seconds.map((second, n) => ({ n, datetime: second === null ? null : at(second), messageId: `m${n}` }))

const numbers = (rows: readonly Row[]) => rows.map(({ n }) => n)

function cut(rows: readonly Row[], options: PageOptions) {
  const page = cutPage(rows, options)
  if (!page) throw new Error('no row has this messageId')
  return page
}

/** Messages in the order in which they are written; several may share a second, and a row may lack its id. */
const conversation = fc
  .tuple(fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 40 }), fc.constantFrom('all', 'none', 'some'))
  .map(([steps, ids]) => {
    let second = 0
    return steps.map((step, n): Row => {
      second += step
      return { n, datetime: at(second), messageId: ids === 'none' || (ids === 'some' && n % 3 === 0) ? null : String(95 + n) }
    })
  })

/** How Afilnet lists what has been written until now. */
const listed = (rows: readonly Row[], newestFirst: boolean) => (newestFirst ? rows.toReversed() : rows)

describe('walking the pages of a list that grows', () => {
  const setting = fc.record({
    rows: conversation,
    newestFirst: fc.boolean(),
    limit: fc.integer({ min: 1, max: 7 }),
    seen: fc.nat({ max: 39 }),
    growth: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 8 }),
  })

  test('gives every message once, in both directions', () => {
    fc.assert(
      fc.property(setting, ({ rows, newestFirst, limit, seen, growth }) => {
        // Of rows of one second without numbers, nobody can tell whether the newest comes first.
        const told = rows.slice(0, Math.min(seen + 1, rows.length))
        fc.pre(!newestFirst || told[0]?.datetime !== told.at(-1)?.datetime || told.every(({ messageId }) => messageId !== null))
        let known = told.length
        let turn = 0
        let latest = told
        const list = () => {
          latest = rows.slice(0, known)
          known = Math.min(rows.length, known + (growth[turn++ % growth.length] ?? 0))
          return listed(latest, newestFirst)
        }

        let page = cut(list(), { limit })
        const back = numbers(page.items)
        while (page.previous) {
          page = cut(list(), { limit, before: page.previous })
          back.unshift(...numbers(page.items))
        }
        const forth = numbers(page.items)
        while (page.next) {
          page = cut(list(), { limit, after: page.next })
          forth.push(...numbers(page.items))
        }

        expect(back).toEqual(numbers(told))
        if (forth.length > told.length || back.length > limit) expect(forth).toEqual(numbers(latest))
      }),
      { numRuns: 400 },
    )
  })

  test('goes on at a cursor whose message has gone', () => {
    fc.assert(
      fc.property(conversation, fc.integer({ min: 1, max: 5 }), fc.boolean(), (rows, limit, newestFirst) => {
        const list = listed(rows, newestFirst)
        const page = cut(list, { limit })
        if (!page.previous) return
        const oldest = page.items[0]
        const rest = listed(
          rows.filter(row => row !== oldest),
          newestFirst,
        )
        fc.pre(!newestFirst || rest[0]?.datetime !== rest.at(-1)?.datetime)
        fc.pre(oldest?.messageId != null || rows.filter(({ datetime }) => datetime === oldest?.datetime).length === 1)

        expect(numbers(cut(rest, { limit, before: page.previous }).items)).toEqual(
          numbers(cut(list, { limit, before: page.previous }).items),
        )
        expect(numbers(cut(rest, { limit: 200, after: page.previous }).items)).toEqual(numbers(page.items.slice(1)))
      }),
      { numRuns: 400 },
    )
  })
})

describe('a page', () => {
  test('holds the newest rows, oldest first', () => {
    const page = cut(rowsAt(5, 1, 4, 2), { limit: 3 })

    expect(numbers(page.items)).toEqual([3, 2, 0])
    expect(page).not.toHaveProperty('next')
    expect(page.previous).toBeDefined()
  })

  test.for([
    ['oldest first', [1, 1, 1, 2], [0, 1, 2, 3]],
    ['newest first', [2, 1, 1, 1], [3, 2, 1, 0]],
    ['without any order', [1, 2, 1, 2], [0, 2, 1, 3]],
    ['without a datetime', [1, null, 2, null], [1, 3, 0, 2]],
  ] as const)('orders rows that Afilnet lists %s', ([, seconds, expected]) => {
    expect(numbers(cut(rowsAt(...seconds), { limit: 200 }).items)).toEqual(expected)
  })

  test('goes by the numbers of messages where all have one datetime', () => {
    for (const newest of [12, 11]) {
      const rows = [...rowsAt(1, 1, 1)].map(row => ({ ...row, messageId: String(newest - row.n) }))

      expect(numbers(cut(rows, { limit: 200 }).items)).toEqual([2, 1, 0])
    }
  })

  test('names neither side of a list that is shown whole', () => {
    expect(cut(rowsAt(1, 2, 3), { limit: 3 })).toEqual({ items: rowsAt(1, 2, 3) })
    expect(cut([], { limit: 3 })).toEqual({ items: [] })
  })

  test.for([
    ['before', 'm1', [0]],
    ['after', 'm1', [2, 3]],
    ['before', 'm0', []],
    ['after', 'm3', []],
  ] as const)('stands %s a message by its id %s', ([side, id, expected]) => {
    expect(numbers(cut(rowsAt(1, 2, 3, 4), { limit: 9, [side]: id }).items)).toEqual(expected)
  })

  test('that is empty leads back to the rest', () => {
    const rows = rowsAt(1, 2, 2)
    const none = cut(rows, { limit: 2, after: 'm2' })
    const noneBefore = cut(rows, { limit: 2, before: 'm0' })

    expect(none.next).toBeUndefined()
    expect(numbers(cut(rows, { limit: 2, before: none.previous }).items)).toEqual([1, 2])
    expect(numbers(cut(rows, { limit: 2, after: noneBefore.next }).items)).toEqual([0, 1])
  })

  test('has no place at a message that is not listed', () => {
    expect(cutPage(rowsAt(1, 2), { limit: 1, before: 'm7' })).toBeUndefined()
    expect(cutPage(rowsAt(1, 2), { limit: 1, after: 'm7' })).toBeUndefined()
  })
})
