/** Every way in which a regular answer may look; the first of each row is what the sandbox does unasked. */
export const shapeChoices = {
  list: ['array', 'object', 'empty-object', 'null', 'absent'],
  ids: ['string', 'number'],
  sent: ['string', 'number', 'boolean', 'word'],
  sentName: ['sent', 'issent'],
  status: ['upper', 'lower'],
  result: ['empty', 'absent', 'null', 'scalar', 'object'],
  order: ['usual', 'oldest-first', 'newest-first', 'mixed'],
  twice: ['none', 'last', 'all'],
  soap: ['structure', 'map', 'json'],
  soapErrors: ['envelope', 'fault'],
} as const

type Choices = typeof shapeChoices

/** Numbers that change what a list shows; 0 is off. */
export const listLimits = ['maxRows', 'maxChats', 'lateMs'] as const

/** How regular answers look. `empty-object`, `null` and `absent` show only where a list is empty; without `sentName` each method uses its own. */
export type Shape = Record<(typeof listLimits)[number], number> & {
  [Name in Exclude<keyof Choices, 'sentName'>]: Choices[Name][number]
} & {
  sentName?: Choices['sentName'][number]
  extra: Record<string, unknown>
  omit: string[]
  nulls: string[]
}

export const plainShape: Shape = {
  list: 'array',
  ids: 'string',
  sent: 'string',
  status: 'upper',
  result: 'empty',
  order: 'usual',
  twice: 'none',
  maxRows: 0,
  maxChats: 0,
  lateMs: 0,
  soap: 'structure',
  soapErrors: 'envelope',
  extra: {},
  omit: [],
  nulls: [],
}

type WireRow = Record<string, unknown>

/** Odd places before even ones: neither order, and another one with each row more. */
const mixed = <T>(rows: readonly T[]) => [...rows.filter((_, n) => n % 2 === 1), ...rows.filter((_, n) => n % 2 === 0)]

/** The rows of a list, given from old to new, as the shape has them; `max` of them, 0 for all. */
export function arrange<T>(rows: readonly T[], usual: 'oldest-first' | 'newest-first', { order, twice }: Shape, max: number): T[] {
  const newest = max > 0 ? rows.slice(-max) : rows
  const repeated = newest.flatMap((row, n) => (twice === 'all' || (twice === 'last' && n === newest.length - 1) ? [row, row] : [row]))
  if (order === 'mixed') return mixed(repeated)
  return (order === 'usual' ? usual : order) === 'oldest-first' ? repeated : repeated.reverse()
}

const ids = new Set(['platformid', 'destination', 'messageid'])

const sentAs: Record<Shape['sent'], (sent: boolean) => unknown> = {
  string: sent => (sent ? '1' : '0'),
  number: Number,
  boolean: sent => sent,
  word: String,
}

const emptyAs: Partial<Record<Shape['list'], unknown>> = { object: {}, 'empty-object': {}, null: null }

const resultAs: Record<Shape['result'], unknown> = { empty: [], absent: undefined, null: null, scalar: '1', object: { taken: '1' } }

/** An id as a JSON number, where a JSON number can hold it. */
const numeric = (value: unknown) => {
  const number = Number(value)
  return String(number) === value && Number.isSafeInteger(number) ? number : value
}

function shapeRow(row: WireRow, shape: Shape, sentName: string): WireRow {
  const members = Object.entries(row).map(([name, value]): [string, unknown] => {
    if (shape.nulls.includes(name === 'sent' ? sentName : name)) return [name === 'sent' ? sentName : name, null]
    if (name === 'sent') return [sentName, sentAs[shape.sent](value === true)]
    return [name, shape.ids === 'number' && ids.has(name) ? numeric(value) : value]
  })
  return { ...Object.fromEntries(members.filter(([name]) => !shape.omit.includes(name))), ...shape.extra }
}

/** The `result` of a list. */
export function listResult(rows: readonly WireRow[], shape: Shape, documentedSentName: string) {
  if (rows.length === 0 && shape.list !== 'array') return shape.list === 'absent' ? {} : { list: emptyAs[shape.list] }
  const shaped = rows.map(row => shapeRow(row, shape, shape.sentName ?? documentedSentName))
  return { list: shape.list === 'object' ? { ...shaped } : shaped }
}

/** The `result` of a send. */
export const sendResult = (shape: Shape) => resultAs[shape.result]

const status = (word: 'SUCCESS' | 'ERROR', shape: Shape) => (shape.status === 'lower' ? word.toLowerCase() : word)

export const successBody = (result: unknown, shape: Shape) => JSON.stringify({ status: status('SUCCESS', shape), result })

export const errorBody = (error: string, shape: Shape) => JSON.stringify({ status: status('ERROR', shape), error })
