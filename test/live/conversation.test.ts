import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { advance, type Conversation, type ListedRow, startAt, startEmpty } from '../../src/live/conversation.ts'
import { readState, writeState } from '../../src/live/state-text.ts'
import { keysOf, Model, type ModelRow, type Scenario, scenario } from './model.ts'

const numRuns = Number(process.env.CONVERSATION_CASES ?? 600)
const forever = { now: 1_000, keepMs: Number.POSITIVE_INFINITY }

describe('A conversation, look by look', () => {
  test('says what a model of it says, whatever Afilnet lists', () => {
    fc.assert(fc.property(scenario, play), { numRuns })
  })
})

/** Looks at the conversation of a scenario again and again, and compares what is said of it with the model. */
function play(scenario: Scenario) {
  const model = new Model(scenario)
  const options = { ...forever, isDescending: scenario.isDescending }
  let known = model.baseline(startAt, startEmpty)
  const announced = new Set<string>()
  const nameOf = new Map<string, string>()
  for (const look of scenario.looks) {
    const list = model.list(look)
    const { isAmbiguous, ...expected } = model.expect(list)
    const { changes, hasGap, messageIds, conversation } = advance(known, list, options)
    const certain = (keys: string[]) => keys.filter(key => !isAmbiguous(key)).sort()

    const said = {
      hasGap,
      created: keysOf('message.created', changes, list).sort(),
      updated: certain(keysOf('message.updated', changes, list)),
    }
    expect(said).toEqual({ ...expected, updated: certain(expected.updated) })

    const inOrder = changes.map(({ row }) => list[row] as ModelRow)
    const mayCompareUids = look.swaps.length === 0 && scenario.ids !== 'never'
    const isInOrder = inOrder.every((row, i) => {
      const next = inOrder[i + 1]
      return !next || (String(row.datetime) <= String(next.datetime) && (!mayCompareUids || row.uid < next.uid))
    })
    expect(isInOrder, 'in the order of the conversation').toBe(true)

    for (const { type, messageId, row } of changes) {
      const isNamed = messageIds[row] === messageId && (scenario.ids !== 'always' || messageId === list[row]?.id)
      if (!isNamed || (type === 'message.created' && announced.has(messageId))) expect.fail(`${messageId} has another id or is not new`)
      announced.add(messageId)
    }
    for (const [row, { key }] of list.entries()) {
      const messageId = messageIds[row] ?? ''
      if (!isAmbiguous(key) && (nameOf.get(key) ?? messageId) !== messageId) expect.fail(`${key} was ${nameOf.get(key)}, is ${messageId}`)
      nameOf.set(key, messageId)
    }

    expect(advance(conversation, list, options)).toMatchObject({ changes: [], hasGap: false, hasChanged: false, messageIds })
    known = readState(writeState({ mark: '', readAt: 1, conversation })).conversation
    expect(known).toEqual(conversation)
  }
}

const row = (id: string | null, at: number | null, more: Partial<ListedRow> = {}): ListedRow => {
  const datetime = at === null ? null : `2026-01-01 10:00:${String(at).padStart(2, '0')}`
  return { id, digest: `digest of ${id ?? 'none'} ${at}`, datetime, status: 'unread', ...more }
}

const created = (known: Conversation, list: ListedRow[], options = {}) => {
  const { changes, ...rest } = advance(known, list, { ...forever, ...options })
  return { ...rest, created: changes.filter(({ type }) => type === 'message.created').map(({ messageId }) => messageId), changes }
}

describe('The baseline of a conversation', () => {
  test('makes rows old that are earlier than its last row, and that row; equal datetimes are new', () => {
    const known = startAt(row('2', 5))

    expect(created(known, [row('1', 4), row('2', 5), row('3', 5), row('4', 6)]).created).toEqual(['3', '4'])
  })

  test('makes rows of a later conversation old that are earlier than the newest row of the channel', () => {
    expect(created(startEmpty(row('', 5).datetime), [row('1', 4), row('2', 5), row('3', 6)]).created).toEqual(['2', '3'])
  })

  test('makes nothing old if it had no row', () => {
    expect(created(startEmpty(null), [row('1', 1), row('2', 2)]).created).toEqual(['1', '2'])
  })

  test('makes rows old that stand before its last row where Afilnet writes no datetime, at the first look only', () => {
    const first = created(startAt(row('2', null)), [row('1', null), row('2', null), row('3', null)])

    expect(first.created).toEqual(['3'])
    expect(created(first.conversation, [row('late', null), row('2', null), row('3', null)]).created).toEqual(['late'])
  })

  test('knows its last row by its content if Afilnet lists it without its id later', () => {
    const last = row('2', 5)

    expect(created(startAt(last), [row('1', 4), { ...last, id: null }]).created).toEqual([])
  })
})

describe('A list of Afilnet', () => {
  const { conversation } = created(startEmpty(null), [row('1', 1), row('2', 2), row('3', 3)])

  test('has a gap if it holds nothing that was known', () => {
    expect(created(conversation, [row('8', 8), row('9', 9)])).toMatchObject({ hasGap: true, created: ['8', '9'] })
    expect(created(conversation, [row('3', 3), row('4', 4)])).toMatchObject({ hasGap: false, created: ['4'] })
  })

  test('has no gap if it reaches back to what was old at the baseline', () => {
    expect(created(startAt(row('5', 5)), [row('4', 4), row('6', 6)])).toMatchObject({ hasGap: false, created: ['6'] })
    expect(created(startAt(row('5', 5)), [row('6', 6)])).toMatchObject({ hasGap: true, created: ['6'] })
  })

  test('has no gap while it is empty, but then if what comes later does not overlap', () => {
    const empty = created(conversation, [])

    expect(empty).toMatchObject({ hasGap: false, created: [], hasChanged: true })
    expect(created(empty.conversation, [row('3', 3), row('4', 4)])).toMatchObject({ hasGap: false, created: ['4'] })
    expect(created(empty.conversation, [row('4', 4)])).toMatchObject({ hasGap: true, created: ['4'] })
  })

  test('shrinks and grows without an event', () => {
    const shrunk = created(conversation, [row('3', 3)])

    expect(shrunk.changes).toEqual([])
    expect(created(shrunk.conversation, [row('1', 1), row('2', 2), row('3', 3)]).changes).toEqual([])
  })

  test('shows a message late, which comes when it is found', () => {
    const { conversation } = created(startEmpty(null), [row('1', 1), row('3', 3)])

    expect(created(conversation, [row('1', 1), row('2', 2), row('3', 3)]).created).toEqual(['2'])
  })

  test('is turned by the direction of other lists if all of its datetimes are equal', () => {
    const list = [row('b', 1, { digest: 'b' }), row('a', 1, { digest: 'a' })]

    expect(created(startEmpty(null), list).created).toEqual(['b', 'a'])
    expect(created(startEmpty(null), list, { isDescending: true }).created).toEqual(['a', 'b'])
  })

  test('takes no status away, and gives one', () => {
    expect(created(conversation, [row('3', 3, { status: null })]).changes).toEqual([])
    expect(created(conversation, [row('3', 3, { status: 'read' })]).changes).toMatchObject([{ type: 'message.updated', messageId: '3' }])
  })

  test('with equal rows and no ids has as many messages as it lists together', () => {
    const equal = row(null, 4, { digest: 'D' })
    const one = created(conversation, [row('3', 3), equal])
    const two = created(one.conversation, [row('3', 3), equal, equal])

    expect(one.created).toEqual(['row-D-1'])
    expect(two.created).toEqual(['row-D-2'])
    expect(created(two.conversation, [row('3', 3), equal]).changes).toEqual([])
  })

  test('may hold a row with an id beside an equal one without: they are two messages', () => {
    const { conversation } = created(startEmpty(null), [row('5', 1, { digest: 'D' })])

    expect(created(conversation, [row(null, 1, { digest: 'D' }), row('5', 1, { digest: 'D' })]).messageIds).toEqual(['row-D-1', '5'])
  })

  test('keeps the name of a message that gets its id later', () => {
    const { conversation } = created(startEmpty(null), [row(null, 1, { digest: 'D' })])
    const withId = created(conversation, [row('7', 1, { digest: 'D' })])

    expect(withId).toMatchObject({ changes: [], messageIds: ['row-D-1'] })
    expect(created(withId.conversation, [row('7', 1, { digest: 'edited' })])).toMatchObject({ changes: [], messageIds: ['row-D-1'] })
  })
})

describe('A message that is no longer listed', () => {
  const options = { now: 1_000, keepMs: 100 }
  const { conversation } = created(startEmpty(null), [row('1', 1), row('2', 2)], options)
  const without = created(conversation, [row('2', 2)], { ...options, now: 5_000 }).conversation

  test('is remembered for the retention, counted from the first answer without it', () => {
    expect(created(without, [row('1', 1), row('2', 2)], { ...options, now: 5_099 }).changes).toEqual([])
  })

  test('is forgotten then', () => {
    const { conversation } = created(without, [row('2', 2)], { ...options, now: 5_100 })

    expect(conversation.messages.map(({ id }) => id)).toEqual(['2'])
  })
})
