import { type ParameterLocation, Problem } from './problem.ts'

/** Refuses a parameter; the issue continues a sentence that begins with the parameter's name. */
export const invalidParameter = (location: ParameterLocation, name: string, issue: string) =>
  new Problem('invalid-request', {
    detail: `The ${location === 'header' ? 'header' : `${location} parameter`} ${name} ${issue}.`,
    errors: [{ in: location, pointer: `/${escaped(name)}`, detail: issue }],
  })

/** Refuses a part of the body, or with an empty pointer the whole of it. */
export const invalidBody = (pointer: string, issue: string) =>
  new Problem('invalid-request', {
    detail: `${pointer === '' ? 'The body' : `In the body, ${pointer}`} ${issue}.`,
    errors: pointer === '' ? undefined : [{ pointer, detail: issue }],
  })

/** The detail for a path or a query that cannot be decoded. */
export const undecodable = (part: 'path' | 'query') =>
  `The ${part} contains a percent sign that does not begin the percent-encoding of UTF-8; write a percent sign as %25.`

/** A name as a part of a JSON pointer. */
export const escaped = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')
