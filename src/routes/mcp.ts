import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HTTPMethods, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Toolbox } from '../mcp/server.ts'
import { isTool, requestOf, type Schema, type Tool, toolOf } from '../mcp/tools.ts'
import { Problem, problemBody } from '../problem/problem.ts'

type McpOptions = {
  base: string
  /** Counts the bytes of a result until the answer with it has left. */
  hold: (request: FastifyRequest, reply: FastifyReply, bytes: number) => void
}

/**
 * The Model Context Protocol: tools that stand for routes.
 *
 * A call becomes a request to its route with the same key, so that scopes, chats, ledger and problems are those of the route. Each message
 * counts as one request when it arrives. To be registered before the routes.
 */
export const mcp = fp<McpOptions>(async function mcp(app: FastifyInstance, options) {
  const declared: RouteOptions[] = []
  app.addHook('onRoute', route => {
    if (route.method !== 'HEAD' && isTool(operationOf(route))) declared.push(route)
  })
  let tools: Tool[] | undefined

  app.post('/mcp', { config: { scope: 'any-key', limitedByHandler: true }, schema: { hide: true } }, async (request, reply) => {
    const { body } = request
    for (let n = 1; n < lengthOf(body); n++) request.limited ??= await app.limitRequest(request, reply)
    if (request.limited && !isCall(body)) throw request.limited
    tools ??= declared.map(route => toolOf(describe(app, route)))
    const { serveMcp } = await import('../mcp/server.ts')
    const answer = await serveMcp(webRequestOf(request, reply), body, toolboxOf(app, request, reply, tools, options))
    reply.code(answer.status).header('cache-control', 'no-store')
    const type = answer.headers.get('content-type')
    return reply.headers(type === null ? {} : { 'content-type': type }).send(await answer.text())
  })
}) as FastifyPluginAsync<McpOptions>

const operationOf = ({ schema }: RouteOptions) => String((schema as { operationId?: string } | undefined)?.operationId)

/** How many messages a body has: the first versions of the protocol send several at once. */
const lengthOf = (body: unknown) => (Array.isArray(body) ? body.length : 1)

/** An agent reads the problem of a call as the result of the tool. */
const isCall = (body: unknown) => (body as { method?: unknown } | null)?.method === 'tools/call'

function toolboxOf(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  tools: readonly Tool[],
  options: McpOptions,
): Toolbox {
  const { base, hold } = options
  const { id, ip, caller, headers, limited } = request
  return {
    tools: tools.filter(({ scope }) => scope === 'any-key' || caller.scopes.has(scope)),
    async call(name, args) {
      try {
        if (limited) throw limited
        const tool = tools.find(tool => tool.name === name)
        if (!tool) return undefined
        const { method, path, headers: own, body } = requestOf(tool, args)
        const trace: Record<string, string> = {}
        request.opentelemetry?.().inject(trace) // absent unless requests are traced
        const answer = await app.inject({
          method: method as HTTPMethods,
          url: path,
          headers: { host: 'mcp', authorization: headers.authorization, 'x-request-id': id, ...trace, ...own },
          remoteAddress: ip,
          ...(body !== undefined && { payload: body }),
        })
        hold(request, reply, answer.rawPayload.length)
        return { isError: answer.statusCode >= 400, body: answer.body }
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        reply.problemCode = error.code
        return { isError: true, body: JSON.stringify(problemBody(error, { base, requestId: id, instance: crypto.randomUUID() })) }
      }
    },
  }
}

function describe(app: FastifyInstance, { config, schema, method, url }: RouteOptions) {
  const { operationId = '', params, querystring, body } = schema as Record<string, string> // as the routes declare it
  const part = (schema: unknown) => resolve(app, schema) as Schema
  return {
    operationId,
    method: String(method),
    url,
    scope: config?.scope as Tool['scope'], // none of them is public
    ...(params !== undefined && { params: part(params) }),
    ...(querystring !== undefined && { querystring: part(querystring) }),
    ...(body !== undefined && { body: part(jsonOf(body)) }),
  }
}

/** The schema of a JSON body, where a route takes other types as well. */
const jsonOf = (body: unknown) => (body as { content?: Record<string, { schema: unknown }> }).content?.['application/json']?.schema ?? body

/** A schema with those that it refers to in it, and without the keywords of the gateway. */
function resolve(app: FastifyInstance, part: unknown): unknown {
  if (Array.isArray(part)) return part.map(item => resolve(app, item))
  if (typeof part !== 'object' || part === null) return part
  const { $ref, $id: _, wellFormed: __, ...rest } = part as Record<string, unknown>
  if (typeof $ref === 'string') return resolve(app, app.getSchema($ref))
  return Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, resolve(app, value)]))
}

/** The request as the protocol's package takes it; its body is parsed already. */
function webRequestOf({ headers }: FastifyRequest, reply: FastifyReply) {
  const left = new AbortController()
  reply.raw.once('close', () => left.abort())
  const own = Object.entries(headers).flatMap(([name, value]) =>
    typeof value === 'string' && /^(accept|content-type|mcp-[\w-]+)$/.test(name) ? [[name, value] as [string, string]] : [],
  )
  return new Request('http://gateway.invalid/mcp', { method: 'POST', headers: own, signal: left.signal })
}
