import type { Static } from '@sinclair/typebox'
import { Errors, type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { closestWord } from '../lib/closest-word.ts'
import { isObject } from '../lib/is-object.ts'
import { findJsonIssue } from '../lib/json-issue.ts'
import { AccountRow, accountName, CallerRow, callerName, GatewayFile, WebhookRow } from './file-schema.ts'
import { isNot } from './quote.ts'
import { digestIssue } from './secrets.ts'
import type { Report } from './variables.ts'

/** A row of the file; properties whose form is wrong are left out, since they have been reported already. */
type Valid<T> = { name: string; path: string; row: Partial<T> }

/** The rows of the file without the properties that were reported. */
type GatewayRows = { accounts: Valid<AccountRow>[]; callers: Valid<CallerRow>[]; webhooks: Valid<WebhookRow>[] }

/** Reads the form of the file and reports each issue with its path. */
export function readRows(text: string, report: Report): GatewayRows {
  const document = parse(text, report)
  if (document === undefined) return { accounts: [], callers: [], webhooks: [] }
  for (const error of Errors(GatewayFile, document)) if (error.path.split('/').length <= 2) reportError('', error, document, report)
  const section = (name: Section) => Object.entries(isObject(document) && isObject(document[name]) ? document[name] : {})
  return {
    accounts: section('accounts').map(([name, row], i) => readRow('accounts', name, row, report, i + 1)),
    callers: section('callers').map(([name, row], i) => readCaller(name, row, report, i + 1)),
    webhooks: section('webhooks').map(([name, row], i) => readRow('webhooks', name, row, report, i + 1)),
  }
}

/** Reads one caller, without looking at the other rows. */
export function readCaller(name: string, row: unknown, report: Report, nth = 1): Valid<CallerRow> {
  const valid = readRow('callers', name, row, report, nth)
  if (valid.row.expires !== undefined && !isInstant(valid.row.expires))
    report(`${valid.path}.expires`, isNot(valid.row.expires, 'a day and time that exist'))
  return valid
}

/** Whether a time in RFC 3339 names a moment: `Date` would read the 30th of February as the 2nd of March. */
function isInstant(value: string) {
  const [date = ''] = value.split('T')
  const day = Date.parse(`${date}T00:00:00Z`)
  return !Number.isNaN(Date.parse(value)) && new Date(day).toISOString().startsWith(date)
}

type Section = keyof typeof sections
const sections = { accounts: [accountName, AccountRow], callers: [callerName, CallerRow], webhooks: [callerName, WebhookRow] } as const
type RowOf<S extends Section> = Static<(typeof sections)[S][1]>

function readRow<S extends Section>(section: S, name: string, row: unknown, report: Report, nth: number): Valid<RowOf<S>> {
  const [pattern, schema] = sections[section]
  const formed = new RegExp(pattern).test(name)
  const path = formed ? `${section}.${name}` : section + shown(name, nth)
  if (!formed) report(path, `is not a name of the form ${pattern}`)
  const errors = [...Errors(schema, row)]
  for (const error of errors) reportError(path, error, row, report)
  const wrong = new Set(errors.map(({ path }) => path.split('/')[1]))
  const valid = isObject(row) ? Object.entries(row).filter(([property]) => !wrong.has(property)) : []
  return { name, path, row: Object.fromEntries(valid) as Partial<RowOf<S>> } // what is left fits the schema
}

function reportError(start: string, error: ValueError, root: unknown, report: Report) {
  report(pathOf(start, error.path, root) || 'GATEWAY_CONFIG', messageOf(error))
}

function messageOf({ path, type, schema, value }: ValueError): string {
  if (type === ValueErrorType.ObjectRequiredProperty) return `is required: ${schema.expected}`
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    const known = closestWord(path.split('/').at(-1) ?? '', Object.keys(schema.properties ?? {}))
    return known === undefined ? 'unknown property' : `unknown property; did you mean ${known}?`
  }
  const digest = schema.secret && typeof value === 'string' ? digestIssue(value) : undefined
  return digest ?? (schema.secret ? `the value is not ${schema.expected}` : isNot(value, schema.expected))
}

function parse(text: string, report: Report): unknown {
  const found = findJsonIssue(text)
  try {
    const document = JSON.parse(text)
    if (found) report('GATEWAY_CONFIG', `contains a duplicate key (line ${found.line} column ${found.column})`)
    return document
  } catch {
    report('GATEWAY_CONFIG', `is not valid JSON (line ${found?.line} column ${found?.column})`) // the parser's own message quotes the file
    return undefined
  }
}

/** A JSON pointer as people write it: `callers.crm.scopes[1]`. */
function pathOf(start: string, pointer: string, root: unknown): string {
  let at: unknown = root
  let path = start
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    const nth = isObject(at) ? Object.keys(at).indexOf(name) + 1 : 0
    path += Array.isArray(at) ? `[${name}]` : shown(name, nth)
    at = isObject(at) || Array.isArray(at) ? (at as Record<string, unknown>)[name] : undefined
  }
  return path.replace(/^\./, '')
}

/** A property name in a path. A long unknown one may be a secret in the wrong place, so its number stands for it. */
function shown(name: string, nth: number) {
  if (/^[\w$-]{1,19}$/.test(name)) return `.${name}`
  return name.length < 20 ? `[${JSON.stringify(name)}]` : `[#${nth}]`
}
