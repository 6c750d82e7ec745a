import { type Static, type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { invalidParameter } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import type { Body } from '../upstream/list-body.ts'
import { cutPage, type PageOptions, type PageRow, type Position } from './list-page.ts'
import { ref } from './params.ts'

const position = (what: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 2_048, description: what }))

const limit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 200, description: 'A page of at most so many, oldest first; 50 with `before` or `after`' }),
)

const pageQuery = (before: string, after: string) =>
  Type.Object({ limit, before: position(before), after: position(after) }, { additionalProperties: false })

/** The query of a list that can be read by pages. */
export type PageQuery = Static<typeof PageQuery>
export const PageQuery = pageQuery('The newest before this: a cursor, or the `messageId` of a message', 'The oldest after this')

/** The same for conversations, which have cursors only. */
export const ChatPageQuery = pageQuery('The newest before this cursor', 'The oldest after this cursor')

/** The query of a list that is paged by the ledger. */
export const cursorPage = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20, description: 'How many to a page' })),
  cursor: Type.Optional(Type.String({ description: '`nextCursor` of the page before' })),
}

/** A page of such a list. */
export const cursorList = <T extends TSchema>($id: string, row: T, cursor: string) =>
  Type.Object(
    {
      items: Type.Array(ref(row)),
      nextCursor: Type.Optional(Type.String({ description: 'For the next page; absent on the last one', examples: [cursor] })),
    },
    { $id },
  )

/** Returns a hook that reads these numbers of a query, where everything is text; bodies are never coerced. */
export const readNumbers =
  (...names: string[]) =>
  (request: FastifyRequest, _: FastifyReply, done: () => void) => {
    const query = request.query as Record<string, unknown> // not validated yet
    for (const name of names) if (/^\d{1,3}$/.test(String(query[name]))) query[name] = Number(query[name])
    done()
  }

export const readLimit = readNumbers('limit')

/** Answers with a finished list, and with its ETag if it may be kept. */
export function sendList(reply: FastifyReply, { body, etag }: Pick<Body, 'body'> & Partial<Body>) {
  if (etag !== undefined) reply.header('etag', etag)
  return reply.type('application/json; charset=utf-8').send(body)
}

/** A page of a finished list. Throws if the `messageId` that it begins at has gone. */
export function pageOf(body: Uint8Array, place: PageOptions): Buffer {
  const { items } = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()) as { items: PageRow[] } // as list-body.ts writes it
  const page = cutPage(items, place)
  if (!page) throw new Problem('cursor-gone')
  const { items: rows, next, previous } = page
  const cursors = { ...(next && { nextCursor: cursorOf(next) }), ...(previous && { previousCursor: cursorOf(previous) }) }
  return Buffer.from(JSON.stringify({ items: rows, ...cursors }))
}

/** The page that a query asks for, if it asks for one. Throws if it names two positions, or one that cannot be read. */
export function askedPage({ limit, before, after }: PageQuery, { messageIds }: { messageIds: boolean }): PageOptions | undefined {
  if (limit === undefined && before === undefined && after === undefined) return undefined
  if (before !== undefined && after !== undefined) throw invalidParameter('query', 'before', 'cannot be used together with after')
  return { limit: limit ?? 50, before: positionOf('before', before, messageIds), after: positionOf('after', after, messageIds) }
}

function positionOf(name: string, value: string | undefined, messageIds: boolean): Position | string | undefined {
  if (value === undefined || (messageIds && !value.startsWith('c_'))) return value
  const position = readCursor(value)
  if (!position) throw invalidParameter('query', name, 'is not the nextCursor or previousCursor of a page')
  return position
}

const cursorOf = ({ datetime, id, index, count }: Position) =>
  `c_${Buffer.from(JSON.stringify([datetime, id, index, count])).toString('base64url')}`

function readCursor(text: string): Position | undefined {
  try {
    const [datetime, id, index, count] = JSON.parse(Buffer.from(text.slice(2), 'base64url').toString()) as unknown[]
    const position = { datetime, id, index, count } as Position // compared with what this would be as a cursor
    const isValid = typeof datetime === 'string' && (id === null || typeof id === 'string') && isCount(index) && isCount(count)
    return isValid && cursorOf(position) === text ? position : undefined
  } catch {
    return undefined
  }
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0
