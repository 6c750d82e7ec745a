import fc from 'fast-check'
import type { Change, Conversation, ListedRow } from '../../src/live/conversation.ts'

/** A message that Afilnet really holds. */
type Message = { uid: number; datetime: string; sent: boolean; text: string; status: string; hiddenFor: number; removed: boolean }

type NewMessage = { afterS: number; sent: boolean; text: string; hiddenFor: number }

/** What happens before a look, and how Afilnet lists the conversation then. */
export type Look = {
  added: NewMessage[]
  statuses: { fromEnd: number; status: string | null }[]
  /** The oldest messages that Afilnet drops for good. */
  dropped: number
  cap: number
  swaps: number[]
  twice: number[]
  withoutIds: boolean
  isEmpty: boolean
}

export type Scenario = {
  ids: 'always' | 'never' | 'sometimes'
  start: 'in the baseline' | 'later' | 'without rows'
  isDescending: boolean
  history: NewMessage[]
  looks: Look[]
}

const text = fc.constantFrom('yes', 'no', 'ok')
const newMessage = fc.record({
  afterS: fc.nat(2),
  sent: fc.boolean(),
  text,
  hiddenFor: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
})

const look: fc.Arbitrary<Look> = fc.record({
  added: fc.array(newMessage, { maxLength: 6 }),
  statuses: fc.array(fc.record({ fromEnd: fc.nat(8), status: fc.constantFrom('sent', 'delivered', 'read') }), { maxLength: 2 }),
  dropped: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(4)),
  cap: fc.constantFrom(3, 20, 1_000),
  swaps: fc.oneof({ weight: 2, arbitrary: fc.constant<number[]>([]) }, fc.array(fc.nat(10), { maxLength: 3 })),
  twice: fc.oneof({ weight: 2, arbitrary: fc.constant<number[]>([]) }, fc.array(fc.nat(10), { maxLength: 2 })),
  withoutIds: fc.boolean(),
  isEmpty: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
})

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  ids: fc.constantFrom('always', 'never', 'sometimes'),
  start: fc.constantFrom('in the baseline', 'later', 'without rows'),
  isDescending: fc.boolean(),
  history: fc.array(newMessage, { minLength: 1, maxLength: 6 }),
  looks: fc.array(look, { minLength: 1, maxLength: 8 }),
})

/** A row of the model, with the message that it stands for. */
export type ModelRow = ListedRow & { uid: number; key: string }

/** Afilnet with one conversation, and a second, simpler account of what must be said of it. */
export class Model {
  readonly #scenario: Scenario
  readonly #messages: Message[] = []
  #seconds = 0
  /** How many rows of each key are known: one for each message with an id, as many as were listed together without. */
  readonly #known = new Map<string, number>()
  readonly #statuses = new Map<string, string>()
  /** Keys that ever stood for several rows: which of them has which status cannot be told. */
  readonly #ambiguous = new Set<string>()
  #oldBefore: string | null = null

  constructor(scenario: Scenario) {
    this.#scenario = scenario
    for (const message of scenario.history) this.#add({ ...message, hiddenFor: 0 })
  }

  /** The state from which the gateway starts; `startAt` and `startEmpty` are the functions under test. */
  baseline(startAt: (row: ListedRow) => Conversation, startEmpty: (oldBefore: string | null) => Conversation): Conversation {
    const { start } = this.#scenario
    const last = this.#rows(false).at(-1)
    if (!last || start === 'without rows') return startEmpty(null)
    this.#oldBefore = last.datetime
    if (start === 'later') return startEmpty(last.datetime)
    this.#learn(last, 1)
    return startAt(last)
  }

  /** Afilnet's list at a look. */
  list(look: Look): ModelRow[] {
    const { ids, isDescending } = this.#scenario
    for (const message of this.#messages) message.hiddenFor = Math.max(0, message.hiddenFor - 1)
    for (const message of look.added) this.#add(message)
    for (const { fromEnd, status } of look.statuses) Object.assign(this.#messages.at(-1 - fromEnd) ?? {}, { status })
    const there = this.#messages.filter(({ removed }) => !removed)
    for (const message of there.slice(0, look.dropped)) message.removed = true
    if (look.isEmpty) return []
    const rows = this.#rows(ids === 'sometimes' && look.withoutIds).slice(-look.cap)
    for (const at of look.swaps) {
      const [a, b] = [rows[at], rows[at + 1]]
      if (a && b) rows.splice(at, 2, b, a)
    }
    // A row without an id that is listed twice is two messages.
    for (const at of ids === 'always' ? look.twice : []) if (rows[at]) rows.splice(at, 0, rows[at])
    return isDescending ? rows.reverse() : rows
  }

  /** What must be said of a list: keys in order, where the list shows it, and how often each. */
  expect(list: readonly ModelRow[]) {
    const rows = [...(this.#scenario.isDescending ? list.toReversed() : list)]
    const once = rows.filter((row, i) => row.id === null || rows.findIndex(({ id }) => id === row.id) === i)
    const byKey = Map.groupBy(once, ({ key }) => key)
    const isKnown = ({ key, datetime }: ModelRow) =>
      (this.#known.get(key) ?? 0) > 0 || (this.#oldBefore !== null && String(datetime) < this.#oldBefore)
    const hasGap = this.#known.size > 0 && once.length > 0 && !once.some(isKnown)
    const created: string[] = []
    const updated: string[] = []
    for (const [key, equals] of byKey) {
      const [row] = equals as [ModelRow]
      const known = this.#known.get(key) ?? 0
      const isOld = this.#oldBefore !== null && String(row.datetime) < this.#oldBefore
      if (!isOld) for (let i = known; i < equals.length; i++) created.push(key)
      if (known > 0 && this.#statuses.get(key) !== row.status) updated.push(key)
      this.#learn(row, equals.length)
    }
    const isAmbiguous = (key: string) => this.#ambiguous.has(key)
    return { hasGap, created: created.sort(), updated: updated.sort(), isAmbiguous }
  }

  #learn({ key, status }: ModelRow, count: number) {
    this.#known.set(key, Math.max(count, this.#known.get(key) ?? 0))
    this.#statuses.set(key, String(status))
    if (count > 1) this.#ambiguous.add(key)
  }

  #add({ afterS, sent, text, hiddenFor }: NewMessage) {
    this.#seconds += afterS
    const datetime = new Date(Date.UTC(2026, 0, 1) + this.#seconds * 1_000).toISOString().slice(0, 19).replace('T', ' ')
    const uid = this.#messages.length + 1
    // Where ids come and go, only the content can tell messages apart.
    const unique = this.#scenario.ids === 'sometimes' ? `${text} ${uid}` : text
    this.#messages.push({ uid, datetime, sent, text: unique, status: 'sent', hiddenFor, removed: false })
  }

  #rows(withoutIds: boolean): ModelRow[] {
    const { ids } = this.#scenario
    return this.#messages
      .filter(({ hiddenFor, removed }) => hiddenFor === 0 && !removed)
      .map(({ uid, datetime, sent, text, status }) => {
        const digest = JSON.stringify([datetime, sent, text])
        const id = ids === 'never' || withoutIds ? null : `m${uid}`
        return { uid, key: ids === 'never' ? digest : `m${uid}`, id, digest, datetime, status }
      })
  }
}

/** The keys of changes of one type, in order. */
export const keysOf = (type: Change['type'], changes: readonly Change[], list: readonly ModelRow[]) =>
  changes.filter(change => change.type === type).map(({ row }) => list[row]?.key ?? '')
