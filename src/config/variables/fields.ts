import { type SchemaOptions, type TSchema, Type } from '@sinclair/typebox'

/**
 * What a variable says about itself, beside its schema.
 *
 * `expected` completes "… is not". `secret` ones can also come from a file, by the same name and `_FILE`. `single` ones describe the one
 * account and the one caller, and are refused together with `GATEWAY_CONFIG`. `example` stands in `.env.example` where there is no default.
 */
export type Field = SchemaOptions & {
  description: string
  expected: string
  example?: string
  secret?: true
  single?: true
  /** Milliseconds in one unit of a duration. */
  unitMs?: number
}

/** Variables that belong together, as the documentation shows them. */
export type Group = { title: string; intro?: string; variables: Record<string, TSchema> }

export const text = (field: Field) => Type.Optional(Type.String(field))
export const integer = (field: Field) => Type.Optional(Type.Integer(field))

/** One of a few words, for the one account. */
export const choice = <const T extends string>(words: readonly T[], field: Omit<Field, 'expected' | 'single'>) =>
  Type.Optional(
    Type.Union(
      words.map(word => Type.Literal(word)),
      { ...field, single: true, expected: `one of ${words.join(', ')}` } as Field,
    ),
  )

/** `true` or `false`. */
export const flag = (fallback: boolean, description: string) =>
  Type.Boolean({ default: fallback, description, expected: 'true or false' } satisfies Field)

/** A whole number of something. */
export const count = (fallback: number, minimum: number, maximum: number, what: string, description: string, unit?: { unitMs: number }) =>
  Type.Integer({
    default: fallback,
    minimum,
    maximum,
    description,
    expected: `${what} (${minimum} to ${maximum})`,
    ...unit,
  } satisfies Field)

export const milliseconds = (fallback: number, minimum: number, description: string, maximum = 3_600_000) =>
  count(fallback, minimum, maximum, 'a number of milliseconds', description, { unitMs: 1 })

export const hours = (fallback: number, maximum: number, description: string) =>
  count(fallback, 1, maximum, 'a number of hours', description, { unitMs: 3_600_000 })

export const port = { minimum: 0, maximum: 65_535, expected: 'a port (0 to 65535)' }
export const expectedHost = 'an IP address or a host name to listen on'
export const expectedUrl = 'an absolute http or https URL without credentials, query or fragment'
