import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import { chatPattern, scopes } from '../access.ts'
import { hasDuplicateKeys } from '../lib/duplicate-keys.ts'
import { isObject } from '../lib/is-object.ts'

const strict = { additionalProperties: false } as const
const $comment = Type.Optional(Type.String({ description: 'For the people who read the file', expected: 'a text' }))
const words = <const T extends string>(values: readonly T[], description: string) =>
  Type.Unsafe<T>(
    Type.Union(
      values.map(value => Type.Literal(value)),
      { description, expected: list(values) },
    ),
  )
const list = (values: readonly string[]) => `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
const limit = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000, description, expected: 'a whole number, 1 to 1000000000' }))
const named = <T extends TSchema>(pattern: string, row: T, description: string) =>
  Type.Record(Type.String({ pattern }), row, { ...strict, minProperties: 1, description, expected: 'an object with at least one property' })

const AccountRow = Type.Object(
  {
    $comment,
    user: Type.String({
      pattern: '\\S',
      description: 'The user (e-mail) of the Afilnet account',
      expected: 'the user of the Afilnet account',
    }),
    password: Type.Union(
      [
        Type.Object({ file: Type.String({ minLength: 1, description: 'A file that holds nothing but the password' }) }, strict),
        Type.Object({ env: Type.String({ minLength: 1, description: 'The environment variable that holds it' }) }, strict),
      ],
      {
        description: 'Where the password is, never the password itself',
        expected: '{ "file": … } or { "env": … }, never the password itself',
      },
    ),
    transport: Type.Optional(words(['post', 'basic', 'get'], 'How the credentials travel')),
    url: Type.Optional(Type.String({ description: 'Default: the documented URL of the transport', expected: 'a URL' })),
    connections: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: 'Calls to Afilnet at one time; default: AFILNET_CONNECTIONS',
        expected: 'a number of connections, 1 to 65535',
      }),
    ),
    rows: Type.Optional(
      Type.Literal('destination-open', {
        description: 'destination-open: do not compare the destination of rows with the one asked for, for callers without chats',
        expected: 'destination-open, or nothing',
      }),
    ),
    timezone: Type.Optional(
      Type.String({ description: "The IANA time zone of Afilnet's datetimes", expected: 'an IANA time zone such as Europe/Madrid' }),
    ),
  },
  { ...strict, description: 'One account at Afilnet', expected: 'an object' },
)

/** A caller as the configuration has it: everything but its name. */
export type CallerRow = Static<typeof CallerRow>
const CallerRow = Type.Object(
  {
    $comment,
    keySha256: Type.Array(
      Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of an API key', expected: 'a SHA-256 in lower-case hex' }),
      { minItems: 1, maxItems: 2, description: 'The digest of the key; two of them while it is replaced', expected: 'one digest, or two' },
    ),
    account: Type.String({ description: 'The name of the Afilnet account that it reaches', expected: 'the name of an account' }),
    scopes: Type.Array(words(scopes, 'What the key may do'), { description: 'What the key may do', expected: 'a list of scopes' }),
    chats: Type.Optional(
      Type.Array(
        Type.String({
          pattern: chatPattern,
          description: 'platform/platformId/destination, each a literal, a literal prefix and *, or *',
          expected: 'three segments such as whatsapp/100/34*, each a literal, a literal prefix and *, or *',
        }),
        { description: 'The chats that it may touch; without it: all', expected: 'a list of chat patterns' },
      ),
    ),
    expires: Type.Optional(
      Type.String({
        pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
        description: 'When its keys stop working, in RFC 3339',
        expected: 'a time in RFC 3339 such as 2027-01-31T00:00:00Z',
      }),
    ),
    rateLimit: Type.Optional(
      Type.Object(
        { requestsPerMinute: limit('Requests in a minute'), sendsPerDay: limit('Sends in a day (UTC); refused ones do not count') },
        { ...strict, expected: 'an object' },
      ),
    ),
    disabled: Type.Optional(Type.Boolean({ description: 'Its keys do not work now', expected: 'true or false' })),
  },
  { ...strict, description: 'One caller of the gateway', expected: 'an object' },
)

/** Names become labels of metrics and words in logs. */
const callerName = '^[a-z0-9][a-z0-9-]{0,62}$'
const accountName = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'

/** The file that `GATEWAY_CONFIG` names. */
export const GatewayFile = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'Where editors find this schema', expected: 'a text' })),
    $comment,
    accounts: named(accountName, AccountRow, 'Accounts at Afilnet by name'),
    callers: named(callerName, CallerRow, 'Callers of the gateway by name: a-z, 0-9 and -'),
  },
  { ...strict, title: 'Configuration of the Afilnet gateway', expected: 'a JSON object' },
)

/** A row of the file; properties whose form is wrong are left out, since they have been reported already. */
export type Valid<T> = { name: string; path: string; row: Partial<T> }

/** What is in the file, as far as its form is right. */
export type GatewayRows = { accounts: Valid<Static<typeof AccountRow>>[]; callers: Valid<CallerRow>[] }

type Report = (path: string, expected: string) => void

/** Reads the form of the file; everything that is wrong with it is reported on its path, and no value is repeated. */
export function readRows(text: string, report: Report): GatewayRows {
  const document = parse(text, report)
  if (document === undefined) return { accounts: [], callers: [] }
  for (const error of Value.Errors(GatewayFile, document)) if (error.path.split('/').length <= 2) reportError('', error, document, report)
  const section = (name: 'accounts' | 'callers') => Object.entries(isObject(document) && isObject(document[name]) ? document[name] : {})
  return {
    accounts: section('accounts').map(([name, row], i) => readRow('accounts', accountName, AccountRow, name, row, report, i + 1)),
    callers: section('callers').map(([name, row], i) => readCaller(name, row, report, i + 1)),
  }
}

/** Reads one caller as far as it can be read by itself. */
export function readCaller(name: string, row: unknown, report: Report, nth = 1): Valid<CallerRow> {
  const valid = readRow('callers', callerName, CallerRow, name, row, report, nth)
  if (valid.row.expires !== undefined && !isInstant(valid.row.expires))
    report(`${valid.path}.expires`, 'expected a day and time that exist')
  return valid
}

/** Whether a time in RFC 3339 names a moment: `Date` would read the 30th of February as the 2nd of March. */
function isInstant(value: string) {
  const [date = ''] = value.split('T')
  const day = Date.parse(`${date}T00:00:00Z`)
  return !Number.isNaN(Date.parse(value)) && new Date(day).toISOString().startsWith(date)
}

function readRow<S extends TSchema>(
  section: string,
  pattern: string,
  schema: S,
  name: string,
  row: unknown,
  report: Report,
  nth: number,
): Valid<Static<S>> {
  const formed = new RegExp(pattern).test(name)
  const path = formed ? `${section}.${name}` : section + shown(name, nth)
  if (!formed) report(path, `expected a name of the form ${pattern}`)
  const errors = [...Value.Errors(schema, row)]
  for (const error of errors) reportError(path, error, row, report)
  const wrong = new Set(errors.map(({ path }) => path.split('/')[1]))
  const valid = isObject(row) ? Object.entries(row).filter(([property]) => !wrong.has(property)) : []
  return { name, path, row: Object.fromEntries(valid) as Partial<Static<S>> } // what is left fits the schema
}

function reportError(start: string, { path: pointer, type, schema }: ValueError, root: unknown, report: Report) {
  const known = type !== ValueErrorType.ObjectAdditionalProperties
  report(pathOf(start, pointer, root) || 'GATEWAY_CONFIG', known ? `expected ${schema.expected}` : 'expected no such property')
}

function parse(text: string, report: Report): unknown {
  try {
    const document = JSON.parse(text)
    if (hasDuplicateKeys(text)) report('GATEWAY_CONFIG', 'expected no object with the same property twice')
    return document
  } catch (error) {
    // The parser's own message quotes the file.
    const at = /\(line \d+ column \d+\)/.exec((error as Error).message)?.[0]
    report('GATEWAY_CONFIG', `expected valid JSON${at ? ` ${at}` : ''}`)
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

/** A name that is not one of ours, in a path; a long one may be a secret that went astray, so it is told by its number. */
function shown(name: string, nth: number) {
  if (/^[\w$-]{1,19}$/.test(name)) return `.${name}`
  return name.length < 20 ? `[${JSON.stringify(name)}]` : `[#${nth}]`
}

/** The schema of the file, for editors. */
export const schemaText = () =>
  `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...GatewayFile }, (key, value) => (key === 'expected' ? undefined : value), 2)}\n`
