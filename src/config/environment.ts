import type { TSchema } from '@sinclair/typebox'
import { Errors } from '@sinclair/typebox/errors'
import { isNot } from './quote.ts'
import { digestIssue, leftoverIn, type ReadFile, withoutNewline } from './secrets.ts'
import { type Environment, type Report, type Values, Variables } from './variables.ts'

/** Whether a value has the form of a schema. A second name for `Value.Check`, whose module loads a third slower. */
const matchesSchema = (schema: TSchema, value: unknown) => Errors(schema, value).First() === undefined

/** Reads variables from the environment, or from the files that `…_FILE` names, and reports each issue by the name of the variable. */
export function readVariables(
  environment: Environment,
  read: ReadFile,
  report: Report,
  asked: Record<string, TSchema> = Variables.properties,
): Partial<Values> {
  const values: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(asked)) {
    const reportHere = (message: string) => report(name, message)
    if (schema.single && environment.GATEWAY_CONFIG) {
      const isSet = environment[name] || environment[`${name}_FILE`]
      if (isSet) reportHere('must not be set together with GATEWAY_CONFIG, which replaces it')
      continue
    }
    const raw = schema.secret ? readSecret(environment, name, read, reportHere) : (environment[name] ?? '')
    if (raw === undefined) continue // reported
    const value = raw === '' ? schema.default : parse(schema, raw)
    const leftover = leftoverIn(raw)
    if (leftover !== undefined) reportHere(leftover)
    else if (value !== undefined && matchesSchema(schema, value)) values[name] = value
    else if (raw !== '') reportHere(issueWith(schema, raw))
    else if (isRequired(name, environment)) reportHere(`is not set; write ${schema.expected}`)
  }
  return values
}

/** OAuth 2.0 with client credentials has no user. */
const isRequired = (name: string, { AFILNET_TRANSPORT, AFILNET_GRANT }: Environment) =>
  (Variables.required as string[] | undefined)?.includes(name) === true &&
  !(/^AFILNET_(USER|PASSWORD)$/.test(name) && AFILNET_TRANSPORT === 'json' && AFILNET_GRANT !== 'password')

function parse(schema: TSchema, raw: string): unknown {
  if (schema.type === 'integer') return /^\d{1,15}$/.test(raw) ? Number(raw) : undefined
  if (schema.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : undefined
  return raw
}

/** The raw value of a secret; empty if it is not set, `undefined` if it was reported. */
function readSecret(environment: Environment, name: string, read: ReadFile, report: (message: string) => void): string | undefined {
  const path = environment[`${name}_FILE`]
  if (!path) return environment[name] ?? ''
  if (environment[name]) return void report(`is set twice: set either ${name} or ${name}_FILE`)
  const { text, issue } = read(path)
  if (text === undefined) return void report(`the file that ${name}_FILE names ${issue}`)
  const value = withoutNewline(text)
  return value === '' ? void report(`the file that ${name}_FILE names is empty`) : value
}

/** What was found where it is not secret, what is expected, and what to write instead where that is plain. */
function issueWith(schema: TSchema, raw: string): string {
  if (raw.trim() === '') return `is blank; write ${schema.expected}`
  const digest = schema === Variables.properties.GATEWAY_KEY_SHA256 && raw.split(',').map(digestIssue).find(Boolean)
  if (digest) return digest
  const issue = schema.secret ? `the value is not ${schema.expected}` : isNot(raw, schema.expected)
  const advice = adviceFor(schema, raw)
  return advice === undefined ? issue : `${issue}; ${advice}`
}

const unitsMs: Record<string, number> = { ms: 1, s: 1_000, sec: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }
const words: Record<string, string> = { yes: 'true', on: 'true', 1: 'true', no: 'false', off: 'false', 0: 'false' }

function adviceFor(schema: TSchema, raw: string): string | undefined {
  const written = raw.trim()
  const [, digits, unit = ''] = /^(\d{1,9})\s*([a-z]+)$/i.exec(written) ?? []
  const inUnit = (Number(digits) * (unitsMs[unit.toLowerCase()] ?? Number.NaN)) / schema.unitMs
  const corrected = [
    written,
    String(inUnit),
    /^(\d+)\/(tcp|udp)$/i.exec(written)?.[1],
    written.replace(/(?<=\d)[,._ ](?=\d{3}\b)/g, ''),
    written.toLowerCase(),
    words[written.toLowerCase()],
  ].find(candidate => candidate !== undefined && candidate !== raw && matchesSchema(schema, parse(schema, candidate)))
  if (corrected === undefined || schema.secret || schema.type === 'string')
    return raw === written ? undefined : 'remove the blanks around it'
  return `write ${corrected}`
}
