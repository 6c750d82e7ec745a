export type Schema = { $ref?: string; examples?: unknown[]; description?: string; items?: Schema; properties?: Record<string, Schema> }
export type Parameter = { name: string; in: string; required?: boolean; description?: string; example?: unknown; schema: Schema }

const conditional: Parameter = {
  name: 'If-None-Match',
  in: 'header',
  description: 'The `ETag` of an earlier answer: if the list is still the same, the answer is 304 without a body.',
  schema: { type: 'string' } as Schema,
}

const capitalized = (name: string) => name.replace(/(^|-)[a-z]/g, letter => letter.toUpperCase())

/** The parameters of an operation as people read them: header names in their usual form, examples only where a value is needed. */
export function parametersOf(parameters: Parameter[], isConditional: boolean, schemas: Record<string, Schema>): Parameter[] {
  const described = parameters.map(parameter => {
    const shared = schemas[parameter.schema.$ref?.split('/').at(-1) ?? ''] // a parameter says itself what its schema says
    const name = parameter.in === 'header' ? capitalized(parameter.name).replace(/Event-Id$/, 'Event-ID') : parameter.name
    const own = shared && { description: shared.description ?? '', ...(parameter.in === 'path' && { example: shared.examples?.[0] }) }
    if (parameter.in === 'path') return { ...parameter, ...own, name }
    const { example, ...rest } = parameter // Swagger UI would fill it in, and the second send would only replay the first
    return { ...rest, ...own, name, schema: example === undefined ? parameter.schema : { ...parameter.schema, examples: [example] } }
  })
  return isConditional ? [...described, conditional] : described
}

/**
 * Makes a component of each parameter that several operations have.
 *
 * The names begin with where the parameter is: some generators make types of them beside those of the schemas.
 */
export function shareParameters(operations: { parameters?: (Parameter | { $ref: string })[] }[]) {
  const components: Record<string, Parameter> = {}
  const all = operations.flatMap(({ parameters = [] }) => parameters.map((made, at) => ({ parameters, at, parameter: made as Parameter })))
  for (const [, [first, ...others]] of Map.groupBy(all, ({ parameter }) => JSON.stringify(parameter))) {
    if (!first || others.length === 0) continue
    const { parameter } = first
    const base = `${capitalized(parameter.in)}${capitalized(parameter.name).replaceAll('-', '')}`
    const name = base in components ? `${base}${Object.keys(components).filter(other => other.startsWith(base)).length + 1}` : base
    components[name] = parameter
    for (const { parameters, at } of [first, ...others]) parameters[at] = { $ref: `#/components/parameters/${name}` }
  }
  for (const operation of operations) if (operation.parameters?.length === 0) delete operation.parameters
  return components
}
