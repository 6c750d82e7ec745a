import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { prefers } from '../lib/prefers.ts'
import { openWord } from '../lib/string-enum.ts'
import type { Reader } from '../live/consumers.ts'
import { readCursor } from '../live/cursor.ts'
import type { ListQuery, Live } from '../live/live.ts'
import type { Sink } from '../live/stream.ts'
import { invalidParameter } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import { type EventType, eventTypes } from '../store/event-log.ts'
import { readNumbers } from './lists.ts'
import { Message } from './messages.ts'
import { Nullable, Platform, ref } from './params.ts'
import { Send } from './send-schemas.ts'

const eventExample = {
  id: 'k3f9Qz1x8bAAgq3k9x2m1c',
  type: 'message.created',
  at: '2026-01-31T08:30:01.250Z',
  platform: 'whatsapp',
  platformId: '100',
  destination: '34600000000',
  messageId: '1001',
  direction: 'in',
  message: null,
}

/** Something that happened in a conversation, or became of a send. */
export const Event = Type.Object(
  {
    id: Type.String({ description: 'Also the cursor: pass it as `after` or `Last-Event-ID` to go on behind it' }),
    type: openWord(eventTypes, '`gap`: events are missing before it; read the conversations again.'),
    at: Type.String({ format: 'date-time', description: 'When the gateway learnt of it' }),
    platform: Nullable(),
    platformId: Nullable(),
    destination: Nullable(),
    messageId: Nullable({ description: 'Stable for a message, also where Afilnet gives it no id' }),
    direction: Nullable({ description: '`in` or `out`' }),
    message: Type.Optional(
      Type.Unsafe<Static<typeof Message> | null>({
        anyOf: [ref(Message), { type: 'null' }],
        description: 'The message as it is now; null if no longer listed for you',
      }),
    ),
    send: Type.Optional(ref(Send)),
    reason: Type.Optional(Type.String({ description: 'Of a `gap`', examples: ['retention'] })),
  },
  { $id: 'Event', examples: [eventExample] },
)

/** A page of events. */
export const EventList = Type.Object(
  {
    items: Type.Array(ref(Event)),
    nextCursor: Type.String({ description: 'For `after`: it has also passed what your filters left out' }),
  },
  { $id: 'EventList', examples: [{ items: [eventExample], nextCursor: eventExample.id }] },
)

const type = `(${eventTypes.join('|').replaceAll('.', '\\.')})`
const Query = Type.Object(
  {
    after: Type.Optional(Type.String({ maxLength: 64, description: 'Only events after this cursor' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'How many to a page' })),
    wait: Type.Optional(Type.Integer({ minimum: 0, maximum: 30, default: 0, description: 'Seconds to wait for the first event' })),
    type: Type.Optional(
      Type.String({ pattern: `^${type}(,${type})*$`, description: 'Only these, comma-separated; a `gap` always passes' }),
    ),
    platform: Type.Optional(ref(Platform)),
    platformId: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this channel' })),
    destination: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this conversation' })),
  },
  { additionalProperties: false },
)
type Query = Static<typeof Query>

const Headers = Type.Object({
  accept: Type.Optional(Type.String({ description: 'With `text/event-stream`: a stream' })),
  'last-event-id': Type.Optional(Type.String({ description: 'Of a stream: only events after this one' })),
})

/** `live` is absent where no account has events. */
type EventsOptions = { live: () => Live | undefined }

export const events: FastifyPluginAsyncTypebox<EventsOptions> = async (app, { live }) => {
  app.get(
    '/events',
    {
      config: {
        scope: 'events:read',
        streams: true,
        callsAfilnet: true,
        errors: ['too-many-streams', 'events-not-enabled', 'store-unavailable'],
      },
      schema: {
        operationId: 'listEvents',
        summary: 'What is new: messages, their states, and ends of sends',
        description:
          'Oldest first, each at least once. With `wait` it answers as soon as there is one. With `Accept: text/event-stream` it is a stream of server-sent events that begins now, or after `Last-Event-ID` or `after`. Without `after` a list begins with the oldest event that is kept.',
        tags: ['Events'],
        querystring: Query,
        headers: Headers,
        response: {
          200: {
            content: {
              'application/json': { schema: ref(EventList) },
              'text/event-stream': {
                schema: Type.String({ examples: ['id: k3f9Qz1x8bAAgq3k9x2m1c\nevent: message.created\ndata: {…}\n\n'] }),
              },
            },
          },
        },
      },
      preValidation: readNumbers('limit', 'wait'),
    },
    async (request, reply) => {
      const { headers, method, query, caller } = request
      const room = live()
      if (!room?.isEnabled(caller.account)) throw new Problem('events-not-enabled')
      const isStream = prefers(headers.accept, 'text/event-stream', 'application/json')
      const filters = filtersOf(query, cursorIn(request, caller.account, isStream))
      reply.headers({ 'cache-control': 'no-store', vary: 'Accept, Authorization', 'x-accel-buffering': 'no' })
      reply.type(isStream ? 'text/event-stream' : 'application/json; charset=utf-8')
      if (method === 'HEAD') return reply.send(Readable.from([]) as never) // a text would be counted as the answer's length
      if (isStream) return openStream(room, caller, filters, reply)
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      const { items, nextCursor } = await room.list(caller, filters, left.signal)
      return reply.send(`{"items":[${items.join(',')}],"nextCursor":"${nextCursor}"}` as never) // written already
    },
  )
}

async function openStream(room: Live, caller: Reader, filters: ListQuery, reply: FastifyReply) {
  const leave = await room.stream(caller, filters, () => sinkOf(reply))
  if (reply.raw.destroyed) leave()
  else reply.raw.once('close', leave)
  return reply
}

function filtersOf({ limit = 50, wait = 0, type, platform, platformId, destination }: Query, after: ListQuery['after']): ListQuery {
  return {
    after,
    limit,
    waitMs: wait * 1_000,
    types: type?.split(',') as EventType[] | undefined, // as the schema has checked
    platform,
    platformId,
    destination,
  }
}

/** Where the consumer goes on. Browsers send an empty `Last-Event-ID` before the first event. */
function cursorIn({ headers, query }: FastifyRequest, account: string, isStream: boolean): ListQuery['after'] {
  const { 'last-event-id': lastEventId } = headers
  const fromHeader = isStream && typeof lastEventId === 'string' && lastEventId !== ''
  const text = fromHeader ? lastEventId : (query as Query).after
  if (text === undefined) return undefined
  const cursor = readCursor(account, text)
  if (cursor) return cursor
  throw invalidParameter(fromHeader ? 'header' : 'query', fromHeader ? 'Last-Event-ID' : 'after', 'is not a cursor of this account')
}

function sinkOf(reply: FastifyReply): Sink {
  const raw = reply.beginStream()
  return {
    write: bytes => reply.writeStream(bytes),
    end: () => reply.endStream(),
    destroy: () => void raw.destroy(),
    get unsentBytes() {
      return raw.writableLength
    },
    async drained() {
      if (raw.writableLength === 0 || raw.destroyed) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const writer = raw.socket ?? raw
      writer.once('drain', resolve).once('close', resolve)
      await promise
      writer.off('drain', resolve).off('close', resolve)
    },
  }
}
