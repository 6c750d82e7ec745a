import { isDeepStrictEqual } from 'node:util'
import { fastifySwagger } from '@fastify/swagger'
import Fastify, { type FastifySchema, type RouteOptions } from 'fastify'
import { version } from '../version.ts'
import { description } from './openapi-description.ts'
import { type DocumentedRoute, errorTable } from './openapi-errors.ts'
import { type Parameter, parametersOf, type Schema, shareParameters } from './openapi-parameters.ts'
import { createErrorResponses, headers, headersOf } from './openapi-responses.ts'
import { type Examples, inlineExamples, type Media, shareAnswers } from './openapi-sharing.ts'

type ResponseObject = { $ref?: string; description?: string; headers?: object; content?: Record<string, Media> }
type OpenApiOperation = {
  operationId: string
  summary: string
  description?: string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, ResponseObject>
}
type OpenApiDocument = {
  paths: Record<string, Record<string, OpenApiOperation>>
  components: { schemas: Record<string, Schema> } & Record<string, object>
}

/** Tools want an absolute URL; no server listens at this one. */
const exampleUrl = 'https://your-gateway.invalid'

/**
 * Makes the OpenAPI document of routes and the schemas that they share.
 *
 * @fastify/swagger reads the routes of a Fastify that starts, so they are declared once more, in one without a port that compiles no schema.
 */
export async function createDocument(
  routes: RouteOptions[],
  schemas: Record<string, unknown>,
  base: string,
  links: string,
): Promise<object> {
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => () => true).setSerializerCompiler(() => () => '')
  const { transform, transformObject } = createTransforms(base, links)
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Afilnet gateway', version, description: description(links), license: { name: 'MIT', identifier: 'MIT' } },
      servers: [
        { url: base || exampleUrl, description: base ? 'This gateway' : 'Replace with the URL of your gateway, or set PUBLIC_URL' },
      ],
      tags: [
        { name: 'Chats', description: 'Channels, conversations and their messages' },
        { name: 'Sends', description: 'Messages and files to a conversation' },
        { name: 'Files', description: 'Files of your own' },
        { name: 'Webhooks', description: 'Endpoints of yours that get events' },
        { name: 'Events', description: 'What happens in conversations, as it happens' },
        { name: 'Gateway', description: 'The gateway itself' },
      ],
      security: [{ apiKey: [] }],
      components: {
        securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'The API key of a caller, never the Afilnet password' } },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema-${i}`) },
    transform,
    transformObject: transformObject as never, // it returns the document that it was given
  })
  for (const schema of Object.values(schemas)) app.addSchema(schema)
  for (const { method, url, schema = {}, config = {} } of routes) app.route({ method, url, schema, config, handler: () => {} })
  await app.ready()
  return app.swagger()
}

/** What completes the document that Fastify makes of the routes: the errors of each operation, examples, headers and a table for people. */
function createTransforms(base: string, links: string) {
  const routes = new Map<string, DocumentedRoute>()
  const errors = createErrorResponses(base)

  function transform({ schema, url, route }: { schema: FastifySchema; url: string; route: RouteOptions }) {
    const { scope = 'public' } = route.config ?? {}
    const { operationId } = (schema ?? {}) as { operationId?: string }
    if (operationId !== undefined) routes.set(operationId, { ...route.config, scope, method: String(route.method), url })
    return { schema: { ...schema, ...(scope === 'public' && { security: [] }) }, url }
  }

  function transformObject(made: { openapiObject?: unknown }): unknown {
    const document = published(made.openapiObject ?? {}) as OpenApiDocument // as Fastify makes it
    const { schemas } = document.components
    const operations = Object.values(document.paths).flatMap(methods => Object.values(methods))
    const examples: Examples = errors.examples
    for (const operation of operations) {
      const route = routes.get(operation.operationId)
      if (route) complete(operation, route, schemas, examples)
    }
    for (const schema of Object.values(schemas)) if (schema.properties) delete schema.examples // bodies have them
    const parameters = shareParameters(operations)
    const responses = { ...errors.responses, NotModified: notModified, ...shareAnswers(operations) }
    const shared = inlineExamples([document.paths, responses], examples)
    document.components = { ...document.components, parameters, headers, responses, examples: shared }
    return document
  }

  function complete(operation: OpenApiOperation, route: DocumentedRoute, schemas: Record<string, Schema>, examples: Examples) {
    operation.description = [operation.description ?? `${operation.summary}.`, curl(route), errorTable(route, operation.responses, links)]
      .filter(Boolean)
      .join('\n\n')
    operation.parameters = parametersOf(operation.parameters ?? [], '304' in operation.responses || route.revalidate === true, schemas)
    for (const media of Object.values(operation.requestBody?.content ?? {})) giveExample(media, schemas, examples)
    const answers = Object.entries(operation.responses).map(
      ([status, answer]) => [status, describe(answer, status, route, schemas, examples)] as const,
    )
    operation.responses = { ...errors.responsesOf(route), ...Object.fromEntries(answers) }
    if (route.revalidate) operation.responses['304'] = { $ref: '#/components/responses/NotModified' }
  }

  return { transform, transformObject }
}

const notModified = { description: 'You have this list already (`If-None-Match`).', headers: headersOf(['ETag']) }

function describe(
  answer: ResponseObject,
  status: string,
  { operation, revalidate }: DocumentedRoute,
  schemas: Record<string, Schema>,
  examples: Examples,
): ResponseObject {
  const isSend = operation?.kind === 'send'
  for (const media of Object.values(answer.content ?? {})) giveExample(media, schemas, examples)
  const names = [
    revalidate && 'ETag',
    isSend && 'Location',
    isSend && 'Idempotency-Replayed',
    isSend && status === '202' && 'Preference-Applied',
  ] as const
  const usual = isSend && status === '201' ? 'Afilnet accepted it' : 'Done'
  const description = answer.description === 'Default Response' ? usual : (answer.description ?? usual)
  return { ...answer, description, ...(names.some(Boolean) && { headers: headersOf([...names]) }) }
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

/** Gives a body its example; bodies of one named schema share it. */
function giveExample(media: Media, schemas: Record<string, Schema>, examples: Examples) {
  const name = media.schema?.$ref?.split('/').at(-1)
  const value = exampleOf(media.schema, schemas)
  if (media.examples || !isDeepStrictEqual(media.example ?? value, value)) return
  if (name === undefined) media.example = value
  else {
    delete media.example
    examples[name] = { value }
    media.examples = { [name]: { $ref: `#/components/examples/${name}` } }
  }
}

/** The example of a schema, or one made of the examples of its parts. */
function exampleOf(schema: Schema | undefined, schemas: Record<string, Schema>): unknown {
  if (schema?.$ref !== undefined) return exampleOf(schemas[schema.$ref.split('/').at(-1) ?? ''], schemas)
  if (schema?.examples) return schema.examples[0]
  if (schema?.items) return [exampleOf(schema.items, schemas)]
  return Object.fromEntries(Object.entries(schema?.properties ?? {}).map(([name, part]) => [name, exampleOf(part, schemas)]))
}

/** What stands for the keyword `upload`. */
const binary = Object.entries({ type: 'string', format: 'binary' })

/** Leaves out the keywords of the gateway, which no other tool knows, an enum of `true`, which does not compile in generated Java, and `required: false`. */
function published(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(published)
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(
    Object.entries(part)
      .filter(([name, value]) => name !== 'wellFormed' && !(name === 'enum' && value[0] === true) && !(name === 'required' && !value))
      .flatMap(([name, value]) => (name === 'upload' ? binary : [[name, published(value)]])),
  )
}
