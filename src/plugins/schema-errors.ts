import type { FastifyRequest } from 'fastify'
import { escaped, invalidBody, invalidParameter } from '../problem/invalid-request.ts'
import type { Problem } from '../problem/problem.ts'

type Schema = {
  type?: string | string[]
  enum?: unknown[]
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  minItems?: number
  maxItems?: number
  minProperties?: number
  maxProperties?: number
  properties?: Record<string, unknown>
}

/** What Ajv says of a value that its schema refuses, with `verbose`. */
type Violation = {
  keyword: string
  instancePath: string
  params: Record<string, unknown>
  parentSchema?: Schema
  data?: unknown
  message?: string
}

/** Says which part of a request its schema refuses, what was found there and what is expected. Texts of a customer are described, never quoted. */
export function schemaProblem(violation: Violation, context: string | undefined, { raw, body }: FastifyRequest): Problem {
  const { keyword, instancePath, params } = violation
  const property = params.missingProperty ?? params.additionalProperty
  const pointer = property === undefined ? instancePath : `${instancePath}/${escaped(String(property))}`
  const name = pointer.slice(1)
  switch (context) {
    case 'params':
      return invalidParameter('path', name, issueOf(violation))
    case 'querystring':
      return invalidParameter('query', name, issueOf(violation, 'parameter'))
    case 'headers': {
      const times = raw.rawHeaders.filter((header, i) => i % 2 === 0 && header.toLowerCase() === name).length
      return invalidParameter('header', name, times > 1 ? `occurs ${times} times; send it once` : issueOf(violation))
    }
    default:
      return invalidBody(pointer, keyword === 'type' && pointer === '' ? `is ${kindOf(body)}; expected a JSON object` : issueOf(violation))
  }
}

function issueOf({ keyword, params, parentSchema = {}, data, message }: Violation, noun: 'property' | 'parameter' = 'property'): string {
  switch (keyword) {
    case 'required':
      return 'is missing'
    case 'additionalProperties': {
      const known = Object.keys(parentSchema.properties ?? {})
      const plural = noun === 'property' ? 'properties' : 'parameters'
      return `is not known; ${known.length > 0 ? `the known ${plural} are ${known.join(', ')}` : `this operation takes no ${plural}`}`
    }
    case 'pattern': {
      if (String(params.pattern).startsWith('^[0-9]{4}')) return 'is not a time; expected one of RFC 3339, such as 2026-01-31T09:30:00Z'
      const [, words, isList] = /^\^\(([\w|\\.]+)\)(\(,\(\1\)\)\*)?\$$/.exec(String(params.pattern)) ?? []
      if (words === undefined) return `contains ${offender(String(data), String(params.pattern))}`
      const known = words.replaceAll('\\', '').split('|')
      return `is ${shown(data)}; expected ${isList ? `${known.join(', ')}, or several, separated by commas` : listed(known)}`
    }
    case 'wellFormed':
      return 'contains half of a surrogate pair, which UTF-8 cannot carry'
    case 'minLength':
    case 'maxLength': {
      const length = [...String(data)].length
      return `is ${length === 0 ? 'empty' : `${length} characters long`}; expected ${expected(parentSchema)}`
    }
    case 'minItems':
    case 'maxItems':
      return `has ${(data as unknown[]).length} items; expected ${parentSchema.minItems ?? 0} to ${parentSchema.maxItems}`
    case 'minProperties':
    case 'maxProperties': {
      const { minProperties = 0, maxProperties, properties = {} } = parentSchema
      const count = minProperties === maxProperties ? `exactly ${minProperties}` : `${minProperties} to ${maxProperties}`
      return `has ${Object.keys(data as object).length} properties; expected ${count} of ${Object.keys(properties).join(', ')}`
    }
    case 'const':
      return `is ${shown(data)}; expected ${params.allowedValue}`
    default:
      return parentSchema.type || parentSchema.enum ? `is ${shown(data)}; expected ${expected(parentSchema)}` : (message ?? 'is not valid')
  }
}

function expected({ type, enum: words, minimum, maximum, minLength = 0, maxLength }: Schema): string {
  if (words) return listed(words)
  if (type === 'integer') return maximum === undefined ? 'an integer' : `an integer from ${minimum ?? 0} to ${maximum}`
  if (type === 'array') return 'a list'
  if (type !== 'string') return `${/^[aeiou]/.test(String(type)) ? 'an' : 'a'} ${type}`
  if (maxLength !== undefined) return `a string of ${minLength} to ${maxLength} characters`
  return minLength > 0 ? 'a string that is not empty' : 'a string'
}

const listed = (words: unknown[]) => `one of ${words.join(', ')}`

/** A short word or a number as it is, another string by its length, anything else by its kind. */
function shown(value: unknown): string {
  if (typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER) return 'a very large number' // not the one that was written
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'string' || value === '') return kindOf(value)
  return /^[\w .-]{1,24}$/.test(value) ? JSON.stringify(value) : `a string of ${[...value].length} characters`
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return value === null ? 'null' : 'missing'
  if (value === '') return 'empty'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The first character that a pattern of allowed characters does not take. */
function offender(text: string, pattern: string): string {
  const allowed = new RegExp(pattern, 'u')
  const at = [...text].findIndex(character => !allowed.test(character))
  const point = [...text][at]?.codePointAt(0) ?? 0
  const name = point === 0x20 ? 'a blank' : `the character U+${point.toString(16).toUpperCase().padStart(4, '0')}`
  return `${name} at position ${at + 1}, which is not allowed`
}
