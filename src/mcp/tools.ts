import type { Scope } from '../access.ts'
import { Problem } from '../problem/problem.ts'

export type Schema = { [keyword: string]: unknown; properties?: Record<string, Schema>; required?: readonly string[] }

/** A route as its declaration has it; schemas refer to no others. */
export type ToolRoute = {
  operationId: string
  method: string
  url: string
  scope: Scope | 'any-key'
  description: string
  params?: Schema
  querystring?: Schema
  body?: Schema
}

export type Tool = ToolRoute & { name: string; inputSchema: Schema & { type: 'object' } }

/** A request that a tool stands for. */
export type ToolRequest = { method: string; path: string; headers: Record<string, string>; body?: string }

/** The tools by the operations of the API document. */
const names: Record<string, string> = {
  listChannels: 'list_channels',
  listChats: 'list_conversations',
  listMessages: 'read_conversation',
  sendMessage: 'send_message',
  sendFile: 'send_file',
  getSend: 'get_send',
}

/** Whether a tool stands for this operation. */
export const isTool = (operationId: string) => Object.hasOwn(names, operationId)

const idempotencyKey = {
  type: 'string',
  minLength: 1,
  maxLength: 255,
  description:
    'Unique to the message, in visible ASCII characters. If an answer gets lost, call again with the same key and the same arguments: it never sends twice. The answer to `retry: same-key`.',
}

/** Arguments are flat: parameters of the path and the query, members of the body, and the key of a send. */
export function toolOf(route: ToolRoute): Tool {
  const { operationId, method, params, querystring, body } = route
  const properties = {
    ...params?.properties,
    ...querystring?.properties,
    ...body?.properties,
    ...(method === 'POST' && { idempotencyKey }),
  }
  const required = [...Object.keys(params?.properties ?? {}), ...(body?.required ?? [])]
  return {
    ...route,
    name: names[operationId] ?? operationId,
    inputSchema: { type: 'object', properties, required, additionalProperties: false },
  }
}

/** The request of a call. What the schemas of the route refuse is for the route to say. */
export function requestOf({ method, url, params }: Tool, given: Record<string, unknown>): ToolRequest {
  const { idempotencyKey, ...rest } = given
  const members = method === 'POST' ? rest : { ...given }
  const path = url.replace(/:(\w+)/g, (_, name) => segmentOf(name, members[name]))
  for (const name of Object.keys(params?.properties ?? {})) delete members[name]
  if (method !== 'POST') {
    const query = Object.entries(members).map(
      ([name, value]) => `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(textOf(name, value))}`,
    )
    return { method, path: query.length === 0 ? path : `${path}?${query.join('&')}`, headers: {} }
  }
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (idempotencyKey !== undefined) headers['idempotency-key'] = textOf('idempotencyKey', idempotencyKey)
  return { method, path, headers, body: JSON.stringify(members) }
}

/** A path with a dot alone as a segment would be another path. */
function segmentOf(name: string, value: unknown) {
  const text = value === undefined ? undefined : textOf(name, value)
  if (text === undefined || text === '') throw refused(name, 'is missing')
  if (/^\.{1,2}$/.test(text)) throw refused(name, 'consists of dots only')
  return encodeURIComponent(text)
}

function textOf(name: string, value: unknown) {
  if (typeof value === 'number' && name === 'limit') return String(value)
  if (typeof value !== 'string') throw refused(name, 'is not a string')
  if (!value.isWellFormed()) throw refused(name, 'contains half of a surrogate pair')
  return value
}

const refused = (name: string, issue: string) =>
  new Problem('invalid-request', { detail: `The argument ${name} ${issue}.`, errors: [{ pointer: `/${name}`, detail: issue }] })
