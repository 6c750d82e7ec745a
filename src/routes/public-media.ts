import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { isNamed } from '../lib/if-none-match.ts'
import { asProblem, MediaStoreError, mediaStoreError } from '../media/bytes.ts'
import { isInline } from '../media/content.ts'
import type { Media } from '../media/media.ts'
import { rangeOf } from '../media/range.ts'
import { Problem } from '../problem/problem.ts'
import type { MediaRow } from '../store/media.ts'

/** Serves stored files to Afilnet and to browsers. */
export const publicMedia: FastifyPluginAsyncTypebox<{ media: Media }> = async (app, { media }) => {
  app.get(
    '/media/:token/:name',
    {
      config: { scope: 'public', inTurn: true },
      schema: {
        hide: true, // for Afilnet and browsers, who have the URL
        params: Type.Object({
          token: Type.String({ description: 'The secret part of the URL', examples: ['X5yLQy4SNpGgCk3nC6b9w0sYgKM1pVZbF7RjJtqD2hE'] }),
          name: Type.String({ description: 'The name of the file', examples: ['menu.jpg'] }),
        }),
        response: {
          200: { description: 'The file', content: { '*/*': { schema: Type.Any(), example: '…' } } },
          304: { description: 'You have this file already (`If-None-Match`)', type: 'null' },
          206: { description: 'The range that was asked for', content: { '*/*': { schema: Type.Any(), example: '…' } } },
        },
      },
    },
    async ({ params, headers, method }, reply) => {
      const row = await media.open(params.token)
      const etag = `"${row.sha256}"`
      // Without a stream, Fastify's HEAD would say that the file has no bytes.
      if (isNamed(etag, headers['if-none-match'])) return reply.code(304).headers(headersOf(row, etag)).send(Readable.from([]))
      const mayRange = method === 'GET' && (headers['if-range'] === undefined || headers['if-range'] === etag)
      const range = rangeOf(mayRange ? headers.range : undefined, row.bytes)
      if (!range) throw new Problem('range-not-satisfiable', { headers: { 'content-range': `bytes */${row.bytes}` } })
      const { start, end, isPart } = range
      // Fastify's HEAD would read the whole stream.
      const bytes = method === 'HEAD' ? undefined : await media.read(row, range)
      reply.headers(headersOf(row, etag)) // last: an error is no file
      if (isPart) reply.code(206).header('content-range', `bytes ${start}-${end}/${row.bytes}`)
      const length = end - start + 1
      reply.header('content-length', length).type(row.contentType)
      if (!bytes) return reply.send(Readable.from([]))
      destroyOnClose(reply, bytes)
      return reply.send(Readable.from(sent(bytes, reply, length, media), { objectMode: false }))
    },
  )
}

/** Closes the file with the connection, even if Fastify has not started to read it: a generator that never ran does not run its `finally`. */
function destroyOnClose({ raw }: FastifyReply, bytes: Readable) {
  if (raw.closed) bytes.destroy()
  else raw.once('close', () => bytes.destroy())
}

/**
 * A reader that takes something now and then is not too slow. A media store that gives more or fewer bytes than the answer announces ends
 * the connection: its reader would take the next answer for a part of the file.
 */
async function* sent(bytes: Readable, reply: FastifyReply, length: number, media: Media) {
  let left = length
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      reply.sentAt = performance.now()
      left -= chunk.length
      if (left < 0) break
      yield chunk
    }
    if (left !== 0) {
      media.lengthDiffers()
      throw new MediaStoreError('failed')
    }
  } catch (error) {
    // Before the first byte it can still become a problem, which is no file.
    for (const name of ['accept-ranges', 'content-disposition', 'content-range']) reply.removeHeader(name)
    throw asProblem(mediaStoreError(error))
  }
}

function headersOf({ contentType, name }: MediaRow, etag: string) {
  const ascii = name.replace(/[^\x20-\x7e]|[%']/g, '_')
  const utf8 = encodeURIComponent(name).replace(/['()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)
  return {
    etag,
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=300',
    'content-disposition': `${isInline(contentType) ? 'inline' : 'attachment'}; filename="${ascii}"; filename*=UTF-8''${utf8}`,
    // Without their own origin, browsers do not play a film or a recording that they open as a page. Scripts never run.
    'content-security-policy': /^(audio|video)\//.test(contentType)
      ? "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
      : "sandbox; default-src 'none'",
    'cross-origin-resource-policy': 'cross-origin',
    'x-robots-tag': 'noindex',
  }
}
