import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import { isNamed } from '../lib/if-none-match.ts'
import type { Completion } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The caller may keep the answer and revalidate it by its `ETag`. */
    revalidate?: true
  }
}

/** Gives the answers of such routes an `ETag`, and answers 304 without a body if the caller has that one already. */
export const completeEtag: Completion = (request, reply, payload) => {
  if (!request.route.revalidate || reply.statusCode !== 200) return payload
  if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) return payload
  const etag = String(reply.getHeader('etag') ?? `"${hash('sha256', payload, 'base64url')}"`)
  reply.header('etag', etag).header('cache-control', 'private, no-cache').header('vary', 'Authorization')
  const ifNoneMatch = request.headers['if-none-match']
  if (!isNamed(etag, ifNoneMatch)) return payload
  reply.code(304).removeHeader('content-type')
  return request.method === 'HEAD' ? Readable.from([]) : null // Fastify's HEAD counts a text as the answer's length, and fails at null
}
