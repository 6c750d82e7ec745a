import type { FastifySchema, RouteOptions } from 'fastify'
import { createErrorResponses, type DocumentedRoute, errorTable, headers, headersOf } from './openapi-responses.ts'

type Schema = { $ref?: string; examples?: unknown[]; description?: string; items?: Schema; properties?: Record<string, Schema> }
type Parameter = { name: string; in: string; required?: boolean; description?: string; example?: unknown; schema: Schema }
type Media = { schema?: Schema; example?: unknown; examples?: unknown }
type Answer = { description?: string; headers?: object; content?: Record<string, Media> }
type OpenApiOperation = {
  operationId: string
  summary: string
  description?: string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Answer>
}
type OpenApiDocument = {
  paths: Record<string, Record<string, OpenApiOperation>>
  components: { schemas: Record<string, Schema> } & Record<string, object>
}

const successDescriptions: Record<string, string> = { 200: 'Done', 201: 'Afilnet accepted it' }

/** Completes the document that Fastify makes of the routes: the errors of each operation, examples, headers and a table for people. */
export function createDocument(base: string) {
  const routes = new Map<string, DocumentedRoute>()
  const errors = createErrorResponses(base)

  function transform({ schema, url, route }: { schema: FastifySchema; url: string; route: RouteOptions }) {
    const { scope = 'public', operation, errors: own, revalidate } = route.config ?? {}
    const { operationId } = (schema ?? {}) as { operationId?: string }
    if (operationId !== undefined) routes.set(operationId, { method: String(route.method), url, scope, operation, errors: own, revalidate })
    return { schema: { ...schema, security: scope === 'public' ? [] : [{ apiKey: [] }] }, url }
  }

  function transformObject(made: { openapiObject?: unknown }): unknown {
    const document = published(made.openapiObject ?? {}) as OpenApiDocument // as Fastify makes it
    const { schemas } = document.components
    for (const operation of Object.values(document.paths).flatMap(methods => Object.values(methods))) {
      const route = routes.get(operation.operationId)
      if (route) complete(operation, route, schemas)
    }
    document.components = { ...document.components, headers, responses: errors.responses, examples: errors.examples }
    return document
  }

  function complete(operation: OpenApiOperation, route: DocumentedRoute, schemas: Record<string, Schema>) {
    operation.description = [operation.description ?? `${operation.summary}.`, curl(route), errorTable(route, base)]
      .filter(Boolean)
      .join('\n\n')
    operation.parameters = parametersOf(operation, route, schemas)
    if (operation.parameters.length === 0) delete operation.parameters
    for (const media of Object.values(operation.requestBody?.content ?? {})) media.example ??= exampleOf(media.schema, schemas)
    const answers = Object.entries(operation.responses).map(
      ([status, answer]) => [status, describe(answer, status, route, schemas)] as const,
    )
    operation.responses = { ...errors.responsesOf(route), ...Object.fromEntries(answers) }
    if (route.revalidate) {
      operation.responses['304'] = {
        description: 'You have this list already (`If-None-Match`).',
        headers: headersOf(['X-Request-Id', 'ETag']),
      }
    }
  }

  return { transform, transformObject }
}

function describe(answer: Answer, status: string, { operation, revalidate }: DocumentedRoute, schemas: Record<string, Schema>): Answer {
  const isSend = operation?.kind === 'send'
  for (const media of Object.values(answer.content ?? {})) if (!media.examples) media.example ??= exampleOf(media.schema, schemas)
  const names = ['X-Request-Id', revalidate && 'ETag', isSend && 'Location', isSend && 'Idempotency-Replayed'] as const
  const description = answer.description === 'Default Response' ? successDescriptions[status] : answer.description
  return { ...answer, description: description ?? 'Done', headers: headersOf([...names]) }
}

const conditional: Parameter = {
  name: 'If-None-Match',
  in: 'header',
  description: 'The `ETag` of an earlier answer: if the list is still the same, the answer is 304 without a body.',
  schema: { type: 'string' } as Schema,
}

function parametersOf(
  { parameters = [] }: OpenApiOperation,
  { revalidate }: DocumentedRoute,
  schemas: Record<string, Schema>,
): Parameter[] {
  const described = parameters.map(parameter => {
    const shared = schemas[parameter.schema.$ref?.split('/').at(-1) ?? ''] // a parameter says itself what its schema says
    const name = parameter.in === 'header' ? parameter.name.replace(/(^|-)[a-z]/g, letter => letter.toUpperCase()) : parameter.name
    const own = shared && { description: shared.description ?? '', ...(parameter.in === 'path' && { example: shared.examples?.[0] }) }
    if (parameter.in === 'path') return { ...parameter, ...own, name }
    const { example, ...rest } = parameter // Swagger UI would fill it in, and the second send would only replay the first
    return { ...rest, ...own, name, schema: example === undefined ? parameter.schema : { ...parameter.schema, examples: [example] } }
  })
  return revalidate ? [...described, conditional] : described
}

/** A send to copy, which leads with its key. */
function curl({ url, operation }: DocumentedRoute) {
  if (operation?.kind !== 'send') return ''
  const path = url.replace(':platformId', '100').replace(':platform', 'whatsapp').replace(':destination', '34600000000')
  const body =
    operation.method === 'sendfile' ? '{"type":"image","fileUrl":"https://example.com/menu.jpg"}' : '{"message":"Your order has shipped"}'
  const headers = '-H "Idempotency-Key: order-4711-shipped" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json"'
  return `\`\`\`sh\ncurl ${headers} -d '${body}' $GATEWAY${path}\n\`\`\``
}

/** The example of a schema, or one made of the examples of its parts. */
function exampleOf(schema: Schema | undefined, schemas: Record<string, Schema>): unknown {
  if (schema?.$ref !== undefined) return exampleOf(schemas[schema.$ref.split('/').at(-1) ?? ''], schemas)
  if (schema?.examples) return schema.examples[0]
  if (schema?.items) return [exampleOf(schema.items, schemas)]
  return Object.fromEntries(Object.entries(schema?.properties ?? {}).map(([name, part]) => [name, exampleOf(part, schemas)]))
}

/** Without the keywords of the gateway, which no other tool knows. */
function published(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(published)
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(
    Object.entries(part)
      .filter(([name]) => name !== 'wellFormed')
      .map(([name, value]) => [name, published(value)]),
  )
}
