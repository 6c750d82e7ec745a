import { instantOf } from '../../afilnet/datetime.ts'
import type { Operation, Row } from '../../afilnet/operations.ts'
import { describeShape, type Observation, platforms, type Question } from '../../afilnet/response-shape.ts'
import type { Answer, Asked } from './recorder.ts'
import type { Check } from './report.ts'

type Line = Omit<Check, 'section' | 'account'>
type Heard = { operation: Operation; answer: Answer; rows: Row[]; observations: Observation[] }
type Tally = Record<string, number>

const todo = 'Report this with the output of --json, so that the reader can learn it; until then callers get null there'
const documentedFormat = 'yyyy-mm-dd hh:mm:ss'

/** Questions to all answers alike, and what the manual or the vendor's own clients lead to expect. */
const plain: readonly [check: string, question: Question, expected: readonly string[]][] = [
  ['encoding', 'encoding', ['UTF-8']],
  ['body', 'body', ['JSON, object']],
  ['status', 'status', ['upper case', 'lower case']],
  ['result', 'result', ['object']],
  ['result.list', 'list', ['array']],
  ['sent', 'sent', ['"0"', '"1"', '0', '1', 'true', 'false'].map(value => `sent ${value}`)],
  ['platforms', 'platform', platforms],
]
const texts = ['string', 'numeric string', 'number', 'empty string']

/** What the answers to one account look like, a line to each question that the manual leaves open. */
export function describeWire(account: string, asked: readonly Asked[], timezone: string | undefined): Check[] {
  const heard = asked.flatMap(({ operation, answer, rows = [] }): Heard[] =>
    answer?.complete && answer.status < 300
      ? [{ operation, answer, rows, observations: describeShape(operation, Buffer.concat(answer.chunks)) }]
      : [],
  )
  const lines =
    heard.length > 0
      ? linesOf(heard, timezone)
      : [{ check: 'wire format', verdict: 'skipped', detail: 'no whole answer came that could be looked at' } as const]
  return lines.map(line => ({ section: 'afilnet', account, ...line }))
}

function linesOf(heard: readonly Heard[], timezone: string | undefined): Line[] {
  const observations = heard.flatMap(one => one.observations)
  return [
    ...markOf(heard),
    line('HTTP status', tally(heard.map(({ answer }) => String(answer.status))), ['200']),
    line('Content-Type', tally(heard.map(({ answer }) => mediaType(answer.headers['content-type']))), ['application/json']),
    ...encodings(heard),
    ...plain.map(([check, question, expected]) => line(check, tally(seenIn(observations, question)), expected)),
    ...Map.groupBy(heard, ({ operation }) => operation.method)
      .entries()
      .flatMap(([method, group]) => perOperation(method, group)),
    extras(observations),
    datetimes(observations, heard, timezone),
    unplaced(observations, heard),
  ].filter(({ detail }) => detail !== '')
}

function line(check: string, seen: Tally, expected: readonly string[]): Line {
  const asExpected = Object.keys(seen).every(one => expected.includes(one))
  return { check, verdict: asExpected ? 'ok' : 'note', detail: told(seen), facts: { seen } }
}

const seenIn = (observations: readonly Observation[], question: Question) =>
  observations.filter(one => one.question === question).map(({ seen }) => seen)

function tally(seen: readonly string[]): Tally {
  return Object.fromEntries(
    Array.from(
      Map.groupBy(seen, one => one),
      ([one, group]) => [one, group.length],
    ),
  )
}

const told = (seen: Tally) =>
  Object.entries(seen)
    .map(([one, count]) => `${one} ×${count}`)
    .join(', ')

/** What was seen of each field by itself. */
function byField(observations: readonly Observation[], question: Question): [field: string, seen: Tally][] {
  const fields = Map.groupBy(
    observations.filter(one => one.question === question),
    ({ of = '' }) => of,
  )
  return Array.from(fields, ([field, group]) => [field, tally(group.map(({ seen }) => seen))])
}

/** Fields of which the same was seen, in one breath. */
const toldTogether = (fields: [field: string, seen: Tally][]) =>
  Map.groupBy(fields, ([, seen]) => told(seen))
    .entries()
    .map(([seen, group]) => `${group.map(([field]) => field).join(', ')}: ${seen}`)
    .toArray()
    .join('; ')

function markOf(heard: readonly Heard[]): Line[] {
  if (!heard.some(({ answer }) => answer.headers['x-sandbox'] === 'true')) return []
  return [{ check: 'sandbox', verdict: 'note', detail: 'these are answers of the sandbox, not of Afilnet' }]
}

/** A header of another form may hold anything. */
const mediaType = (value: unknown) => {
  const type = String(value ?? 'missing').toLowerCase()
  return /^[a-z]+\/[a-z0-9.+-]{1,64}(; ?charset="?[a-z0-9-]{1,32}"?)?$|^missing$/.test(type) ? type : 'unusual'
}

/** The gateway asks for no compression, and reads none. */
function encodings(heard: readonly Heard[]): Line[] {
  const compressed = heard.flatMap(({ answer }) => answer.headers['content-encoding'] ?? [])
  const word = (value: string) => (/^[a-z-]{1,16}$/.test(value) ? value : 'unusual')
  return compressed.length > 0 ? [line('Content-Encoding', tally(compressed.map(value => word(String(value)))), ['identity'])] : []
}

function perOperation(method: string, heard: readonly Heard[]): Line[] {
  const observations = heard.flatMap(one => one.observations)
  const fields = byField(observations, 'field')
  const orders = byField(observations, 'order')
  const rows = seenIn(observations, 'rows').map(Number)
  const plainly = fields.every(([, seen]) => Object.keys(seen).every(one => texts.includes(one)))
  return [
    { check: `${method} fields`, verdict: plainly ? 'ok' : 'note', detail: toldTogether(fields), facts: Object.fromEntries(fields) },
    {
      check: `${method} rows`,
      verdict: 'note',
      detail: rows.length === 0 ? '' : [rows.join(', '), ...(orders.length > 0 ? [toldTogether(orders)] : [])].join('; '),
      facts: { rows, order: Object.fromEntries(orders) },
    },
  ]
}

function extras(observations: readonly Observation[]): Line {
  const fields = byField(observations, 'extra')
  const found = fields.length > 0
  const rows = seenIn(observations, 'rows').some(count => count !== '0')
  const detail = found ? `not in the manual, kept in \`extra\`: ${toldTogether(fields)}` : rows ? 'none beyond the manual' : ''
  return { check: 'extra fields', verdict: found ? 'note' : 'ok', detail, facts: Object.fromEntries(fields) }
}

/** Formats, and what the configured zone makes of them: a time to come can only be a wrong zone, or a wrong clock. */
function datetimes(observations: readonly Observation[], heard: readonly Heard[], timezone: string | undefined): Line {
  const seen = tally(seenIn(observations, 'datetime'))
  const { verdict, detail } = line('datetime', seen, [documentedFormat])
  if (timezone === undefined || detail === '') {
    const hint = detail && '; no AFILNET_TIMEZONE is set, so callers get no `timestamp`'
    return { check: 'datetime', verdict, detail: detail + hint, facts: { seen } }
  }
  const texts = heard.flatMap(({ rows }) => rows.flatMap(({ datetime }) => (datetime === undefined ? [] : [datetime])))
  const instants = texts.flatMap(text => instantOf(text, timezone) ?? [])
  const future = instants.filter(instant => Date.parse(instant) > Date.now() + 60_000).length
  const facts = { seen, timezone, instants: instants.length, future }
  const found = { check: 'datetime', detail: `${detail}; ${instants.length} of ${texts.length} are an instant in ${timezone}`, facts }
  if (future > 0) {
    const late = `${found.detail}, ${future} of them in the future`
    return { ...found, verdict: 'warning', detail: late, todo: 'Correct AFILNET_TIMEZONE, or the clock of this machine' }
  }
  if (instants.length > 0 || texts.length === 0) return { ...found, verdict }
  return { ...found, verdict: 'warning', todo: 'Callers get no `timestamp`. Report this with the output of --json' }
}

/** What the reader could do nothing with: `sent` that is no boolean, and structures where the manual has a text. */
function unplaced(observations: readonly Observation[], heard: readonly Heard[]): Line {
  const rows = heard.flatMap(({ operation, rows }) => rows.map(row => ({ row, operation })))
  const absent = seenIn(observations, 'sent').filter(seen => seen === 'missing' || seen === 'null').length
  const unread = rows.filter(({ row }) => row.sent === null).length - absent
  const misplaced = rows.flatMap(({ row, operation }) => Object.keys(row.extra ?? {}).filter(name => operation.row.includes(name)))
  const facts = { sent: Math.max(0, unread), structures: tally(misplaced) }
  const found = [
    ...(unread > 0 ? [`sent that is no boolean ×${unread}`] : []),
    ...(misplaced.length > 0 ? [`a structure for a text: ${told(facts.structures)}`] : []),
  ]
  if (found.length > 0) return { check: 'not placed', verdict: 'warning', detail: found.join('; '), todo, facts }
  return { check: 'not placed', verdict: 'ok', detail: rows.length > 0 ? 'nothing: the reader understood every field' : '', facts }
}
