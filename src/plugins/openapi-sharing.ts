import type { Schema } from './openapi-parameters.ts'

type ResponseObject = { $ref?: string }
export type Examples = Record<string, { value: unknown }>

/** Makes a component of each answer that several operations have, such as `R200`. */
export function shareAnswers(operations: { responses: Record<string, ResponseObject> }[]): Record<string, ResponseObject> {
  const components: Record<string, ResponseObject> = {}
  const all = operations.flatMap(({ responses }) => Object.entries(responses).map(([status, answer]) => ({ responses, status, answer })))
  const own = all.filter(({ answer }) => answer.$ref === undefined)
  for (const [, [first, ...others]] of Map.groupBy(own, ({ status, answer }) => status + JSON.stringify(answer))) {
    if (!first || others.length === 0) continue
    const name = nextName(`R${first.status}`, Object.keys(components))
    components[name] = first.answer
    for (const { responses, status } of [first, ...others]) responses[status] = { $ref: `#/components/responses/${name}` }
  }
  return components
}

/** `R200`, then `R200B` and so on. */
export function nextName(name: string, taken: readonly string[]) {
  const variants = taken.filter(other => other.startsWith(name)).length
  return variants === 0 ? name : name + String.fromCharCode(65 + variants)
}

/** Moves each example that only one body has to that body, and returns the others. */
export function inlineExamples(parts: unknown, examples: Examples): Examples {
  const bodies = Object.groupBy(bodiesIn(parts), ({ name }) => name)
  return Object.fromEntries(
    Object.entries(examples).filter(([name, { value }]) => {
      const [body, second] = bodies[name] ?? []
      if (!body || second) return true
      delete body.media.examples
      body.media.example = value
      return false
    }),
  )
}

export type Media = { schema?: Schema; example?: unknown; examples?: Record<string, { $ref: string }> }

/** The bodies whose example is a component, with its name. */
function bodiesIn(part: unknown): { media: Media; name: string }[] {
  if (typeof part !== 'object' || part === null) return []
  const media = part as Media
  const [ref] = media.schema && media.examples ? Object.values(media.examples) : []
  return ref ? [{ media, name: ref.$ref.split('/').at(-1) ?? '' }] : Object.values(part).flatMap(bodiesIn)
}
