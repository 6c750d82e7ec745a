import { platforms } from '../../access.ts'
import { instantOf } from '../../afilnet/datetime.ts'
import type { Operation, Row } from '../../afilnet/operations.ts'
import type { AccountConfig } from '../../config/account.ts'
import { describeConversations } from './conversations.ts'
import type { RecordedCall, RecordedResponse } from './recorder.ts'
import type { Check } from './report.ts'
import { describeShape, type Observation, type Question } from './response-shape.ts'
import { describeChats } from './rows.ts'
import { type Counts, count, describeCounts, type Line, line } from './wire-line.ts'

type Response = { operation: Operation; response: RecordedResponse; rows: Row[]; observations: Observation[] }

const todo = 'Report this with the output of --json. Until the gateway can read it, callers get null there'
const documentedFormat = 'yyyy-mm-dd hh:mm:ss'

/** Questions about every response, and what the manual or Afilnet's own clients make likely. */
const questions: readonly [check: string, question: Question, expected: readonly string[]][] = [
  ['encoding', 'encoding', ['UTF-8']],
  ['body', 'body', ['JSON, object']],
  ['status', 'status', ['upper case', 'lower case']],
  ['result', 'result', ['object']],
  ['result.list', 'list', ['array']],
  ['sent', 'sent', ['"0"', '"1"', '0', '1', 'true', 'false'].map(value => `sent ${value}`)],
  ['platforms', 'platform', platforms],
]
type Settings = Pick<AccountConfig, 'timezone' | 'rows' | 'sent'>

const texts = ['string', 'numeric string', 'number', 'empty string']

/** Describes the responses to one account: a line for each question that the manual leaves open. */
export function describeWire(account: string, calls: readonly RecordedCall[], { timezone, rows: compared, sent }: Settings): Check[] {
  const responses = calls.flatMap(({ operation, response, rows = [] }): Response[] =>
    response?.complete && response.status < 300
      ? [{ operation, response, rows, observations: describeShape(operation, Buffer.concat(response.chunks)) }]
      : [],
  )
  const lines =
    responses.length > 0
      ? [...linesOf(responses, timezone), ...describeChats(calls, compared), ...describeConversations(calls, sent)]
      : [{ check: 'wire format', verdict: 'skipped', detail: 'not checked: no complete response arrived' } as const]
  return lines.map(line => ({ section: 'afilnet', account, ...line }))
}

function linesOf(responses: readonly Response[], timezone: string | undefined): Line[] {
  const observations = responses.flatMap(one => one.observations)
  return [
    ...sandboxLine(responses),
    line('HTTP status', count(responses.map(({ response }) => String(response.status))), ['200']),
    line('Content-Type', count(responses.map(({ response }) => mediaType(response.headers['content-type']))), ['application/json']),
    ...encodings(responses),
    ...questions.map(([check, question, expected]) => line(check, count(seenIn(observations, question)), expected)),
    ...Map.groupBy(responses, ({ operation }) => operation.method)
      .entries()
      .flatMap(([method, group]) => perOperation(method, group)),
    extras(observations),
    datetimes(observations, responses, timezone),
    unreadable(observations, responses),
  ].filter(({ detail }) => detail !== '')
}

const seenIn = (observations: readonly Observation[], question: Question) =>
  observations.filter(one => one.question === question).map(({ seen }) => seen)

/** What was seen of each field. */
function byField(observations: readonly Observation[], question: Question): [field: string, seen: Counts][] {
  const fields = Map.groupBy(
    observations.filter(one => one.question === question),
    ({ of = '' }) => of,
  )
  return Array.from(fields, ([field, group]) => [field, count(group.map(({ seen }) => seen))])
}

/** Fields with the same counts, described together. */
const describeFields = (fields: [field: string, seen: Counts][]) =>
  Map.groupBy(fields, ([, seen]) => describeCounts(seen))
    .entries()
    .map(([seen, group]) => `${group.map(([field]) => field).join(', ')}: ${seen}`)
    .toArray()
    .join('; ')

function sandboxLine(responses: readonly Response[]): Line[] {
  if (!responses.some(({ response }) => response.headers['x-sandbox'] === 'true')) return []
  return [{ check: 'sandbox', verdict: 'note', detail: 'these are responses of the sandbox, not of Afilnet' }]
}

/** A header in another format may contain anything. */
const mediaType = (value: unknown) => {
  const type = String(value ?? 'missing').toLowerCase()
  return /^[a-z]+\/[a-z0-9.+-]{1,64}(; ?charset="?[a-z0-9-]{1,32}"?)?$|^missing$/.test(type) ? type : 'unusual'
}

/** The gateway asks for responses without compression. */
function encodings(responses: readonly Response[]): Line[] {
  const compressed = responses.flatMap(({ response }) => response.headers['content-encoding'] ?? [])
  const word = (value: string) => (/^[a-z-]{1,16}$/.test(value) ? value : 'unusual')
  return compressed.length > 0 ? [line('Content-Encoding', count(compressed.map(value => word(String(value)))), ['identity'])] : []
}

function perOperation(method: string, responses: readonly Response[]): Line[] {
  const observations = responses.flatMap(one => one.observations)
  const fields = byField(observations, 'field')
  const orders = byField(observations, 'order')
  const rows = seenIn(observations, 'rows').map(Number)
  const order = orders.length > 0 ? [describeFields(orders)] : []
  const detail = rows.length === 0 ? '' : [rows.join(', '), ...order].join('; ')
  const plainly = fields.every(([, seen]) => Object.keys(seen).every(one => texts.includes(one)))
  return [
    { check: `${method} fields`, verdict: plainly ? 'ok' : 'note', detail: describeFields(fields), facts: Object.fromEntries(fields) },
    { check: `${method} rows`, verdict: 'note', detail, facts: { rows, order: Object.fromEntries(orders) } },
  ]
}

function extras(observations: readonly Observation[]): Line {
  const fields = byField(observations, 'extra')
  const found = fields.length > 0
  const rows = seenIn(observations, 'rows').some(count => count !== '0')
  const none = rows ? 'none: every field is in the manual' : ''
  const detail = found ? `not in the manual, passed on in \`extra\`: ${describeFields(fields)}` : none
  return { check: 'extra fields', verdict: found ? 'note' : 'ok', detail, facts: Object.fromEntries(fields) }
}

/** Formats, and the instants in the configured zone. An instant in the future means a wrong zone or a wrong clock. */
function datetimes(observations: readonly Observation[], responses: readonly Response[], timezone: string | undefined): Line {
  const seen = count(seenIn(observations, 'datetime'))
  const { verdict, detail } = line('datetime', seen, [documentedFormat])
  if (timezone === undefined || detail === '') {
    const hint = detail && '; AFILNET_TIMEZONE is not set, so callers get no `timestamp`'
    return { check: 'datetime', verdict, detail: detail + hint, facts: { seen } }
  }
  const texts = responses.flatMap(({ rows }) => rows.flatMap(({ datetime }) => (datetime === undefined ? [] : [datetime])))
  const instants = texts.flatMap(text => instantOf(text, timezone) ?? [])
  const future = instants.filter(instant => Date.parse(instant) > Date.now() + 60_000).length
  const facts = { seen, timezone, instants: instants.length, future }
  const found = { check: 'datetime', detail: `${detail}; ${instants.length} of ${texts.length} can be read as times in ${timezone}`, facts }
  if (future > 0) {
    const late = `${found.detail}, ${future} of them in the future`
    return { ...found, verdict: 'warning', detail: late, todo: 'Correct AFILNET_TIMEZONE, or the clock of this machine' }
  }
  if (instants.length > 0 || texts.length === 0) return { ...found, verdict }
  const todo = 'Callers get no `timestamp`. Check AFILNET_TIMEZONE, and report this with the output of --json'
  return { ...found, verdict: 'warning', todo }
}

/** What the gateway cannot read: a `sent` that is not a boolean, and structures where the manual has a text. */
function unreadable(observations: readonly Observation[], responses: readonly Response[]): Line {
  const rows = responses.flatMap(({ operation, rows }) => rows.map(row => ({ row, operation })))
  const absent = seenIn(observations, 'sent').filter(seen => seen === 'missing' || seen === 'null').length
  const unread = rows.filter(({ row }) => row.sent === null).length - absent
  const misplaced = rows.flatMap(({ row, operation }) => Object.keys(row.extra ?? {}).filter(name => operation.row.includes(name)))
  const facts = { sent: Math.max(0, unread), structures: count(misplaced) }
  const found = [
    ...(unread > 0 ? [`sent is not a boolean ×${unread}`] : []),
    ...(misplaced.length > 0 ? [`a structure instead of a text: ${describeCounts(facts.structures)}`] : []),
  ]
  if (found.length > 0) return { check: 'not readable', verdict: 'warning', detail: found.join('; '), todo, facts }
  return { check: 'not readable', verdict: 'ok', detail: rows.length > 0 ? 'nothing: the gateway can read every field' : '', facts }
}
