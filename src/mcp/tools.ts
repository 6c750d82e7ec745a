import type { Scope } from '../access.ts'
import { Problem } from '../problem/problem.ts'

export type Schema = { [keyword: string]: unknown; properties?: Record<string, Schema>; required?: readonly string[] }

/** A route as its declaration has it; schemas refer to no others. */
type ToolRoute = {
  operationId: string
  method: string
  url: string
  scope: Scope | 'any-key'
  params?: Schema
  querystring?: Schema
  body?: Schema
}

export type Tool = ToolRoute & { name: string; description: string; inputSchema: Schema & { type: 'object' } }

/** A request that a tool stands for. */
type ToolRequest = { method: string; path: string; headers: Record<string, string>; body?: string }

const sending =
  'State `accepted` means that Afilnet took it, not that it was delivered. Give each send an idempotencyKey of its own, and keep it: with that key you can repeat the call, and the recipient gets one message. After outcome `unknown` the recipient may have it: repeat the call with the same idempotencyKey if `retry` is `same-key`, or call get_send with the sendId of the error. If it stays unknown, ask a person. Never send it again with another key.'

/** The tools by the operations of the API document, in words for an agent. */
const tools: Record<string, { name: string; description: string }> = {
  listChannels: {
    name: 'list_channels',
    description:
      'Lists the numbers, bots and widgets that this key may reach. Start here: the platform and platformId of a channel are arguments of the other tools.',
  },
  listChats: {
    name: 'list_conversations',
    description:
      'Lists the conversations of one channel, each by its latest message. The destination of a message is an argument of read_conversation and of the sends. Without limit, before or after, the list is whole.',
  },
  listMessages: {
    name: 'read_conversation',
    description:
      'Lists the messages of one conversation. Direction `in` is what the other side wrote, `out` what your side wrote. Without limit, before or after, the list is whole; limit alone gives the newest. For older messages, pass previousCursor as before. For what came since, pass nextCursor or, without one, the messageId of the last message as after.',
  },
  sendMessage: { name: 'send_message', description: `Sends a text to one recipient. ${sending}` },
  sendFile: {
    name: 'send_file',
    description: `Sends a file to one recipient. Afilnet fetches it from fileUrl, so anybody must be able to read that URL. ${sending}`,
  },
  getSend: {
    name: 'get_send',
    description:
      'Says what became of one of your sends: its id is in the answer of the send, and is the sendId of its error. `queued` and `pending` are not over yet: ask again later. `accepted`: Afilnet took it. `rejected`, `not_sent`, `expired` and `canceled`: the recipient gets nothing. `unknown`: the recipient may have it, so do not send it again with another key.',
  },
}

/** Whether a tool stands for this operation. */
export const isTool = (operationId: string) => Object.hasOwn(tools, operationId)

/** Stands for the description of the routes, which names a route: an agent has tools. */
const platformIdText = 'Which of your numbers, bots or widgets, as list_channels lists it.'

const idempotencyKey = {
  type: 'string',
  minLength: 1,
  maxLength: 255,
  description:
    'Unique to the message, in visible ASCII characters. If an answer gets lost, call again with the same key and the same arguments: it never sends twice. The answer to `retry: same-key`. It is sent as the header Idempotency-Key, which errors name.',
}

/** Arguments are flat: parameters of the path and the query, members of the body, and the key of a send. */
export function toolOf(route: ToolRoute): Tool {
  const { operationId, method, params, querystring, body } = route
  const properties: Record<string, Schema> = {
    ...params?.properties,
    ...querystring?.properties,
    ...body?.properties,
    ...(method === 'POST' && { idempotencyKey }),
  }
  if (properties.platformId) properties.platformId = { ...properties.platformId, description: platformIdText }
  const required = [...Object.keys(params?.properties ?? {}), ...(body?.required ?? [])]
  const { name, description } = tools[operationId] ?? { name: operationId, description: '' }
  return { ...route, name, description, inputSchema: { type: 'object', properties, required, additionalProperties: false } }
}

/**
 * The request of a call. What the schemas of the route refuse is for the route to say.
 *
 * An argument that is null counts as left out: models and agent frameworks pass null for what they leave out, and no tool has an argument that can be null.
 */
export function requestOf({ method, url, params, inputSchema }: Tool, args: Record<string, unknown>): ToolRequest {
  const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null))
  const { idempotencyKey, ...rest } = given
  const members = method === 'POST' ? rest : given
  const text = (name: string, value: unknown) => textOf(name, value, inputSchema.properties?.[name])
  const path = url.replace(/:(\w+)/g, (_, name) => segmentOf(name, members[name] === undefined ? '' : text(name, members[name])))
  for (const name of Object.keys(params?.properties ?? {})) delete members[name]
  if (method !== 'POST') {
    const query = Object.entries(members).map(
      ([name, value]) => `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(text(name, value))}`,
    )
    return { method, path: query.length === 0 ? path : `${path}?${query.join('&')}`, headers: {} }
  }
  for (const [name, value] of Object.entries(members)) {
    // No argument has parts, and what is nested too deep cannot be written to be refused by the route.
    if (typeof value === 'object') throw refused(name, Array.isArray(value) ? 'is a list' : 'is an object')
  }
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (idempotencyKey !== undefined) headers['idempotency-key'] = text('idempotencyKey', idempotencyKey)
  return { method, path, headers, body: JSON.stringify(members) }
}

/** A path with a dot alone as a segment would be another path. */
function segmentOf(name: string, text: string) {
  if (text === '') throw refused(name, 'is missing')
  if (/^\.{1,2}$/.test(text)) throw refused(name, 'consists of dots only')
  return encodeURIComponent(text)
}

/** A value as a part of a path, a query or a header. */
function textOf(name: string, value: unknown, schema: Schema | undefined) {
  if (typeof value === 'number' && schema?.type === 'integer') return String(value)
  if (typeof value !== 'string')
    throw refused(name, schema ? `is not ${schema.type === 'integer' ? 'an integer' : 'a string'}` : 'is not known')
  if (!value.isWellFormed()) throw refused(name, 'contains half of a surrogate pair')
  return value
}

const refused = (name: string, issue: string) =>
  new Problem('invalid-request', { detail: `The argument ${name} ${issue}.`, errors: [{ pointer: `/${name}`, detail: issue }] })
