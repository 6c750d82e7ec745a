import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../problem/problem.ts'

type AnswersOptions = { readerTimeoutMs: number; maxWaitingBytes: number }

/** On every answer, whoever writes it. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
}

const alwaysServedBytes = 65_536

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer may be kept by its caller and revalidated by `ETag`. */
    revalidate?: true
  }
}

/** What every answer has in common: its headers, its ETag, and an end to callers that never take it. */
export const answers = fp<AnswersOptions>(async function answers(app, { readerTimeoutMs, maxWaitingBytes }) {
  let waitingBytes = 0

  app.addHook('onRequest', (request, reply, done) => {
    commonHeaders(request, reply)
    done()
  })

  app.addHook('onSend', (request, reply, payload, done) => {
    const { revalidate } = request.routeOptions.config
    const whole = typeof payload === 'string' || payload instanceof Uint8Array // a file of the docs is a stream, and never whole in memory
    const body = whole && revalidate && reply.statusCode === 200 ? validated(request, reply, payload) : payload
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? Buffer.byteLength(body) : 0
    // What Afilnet may have marked as read cannot be asked for again.
    if (bytes > alwaysServedBytes && waitingBytes + bytes > maxWaitingBytes && !request.call?.unsafeStarted) {
      return done(new Problem('overloaded', { detail: 'Too many answers are waiting for slow readers' }))
    }
    watch(reply, bytes)
    done(null, body)
  })

  /** Counts an answer's bytes until the caller has taken them, and closes the socket of one that does not. */
  function watch({ raw }: FastifyReply, bytes: number) {
    waitingBytes += bytes
    const timer = setTimeout(() => raw.socket?.destroy(), readerTimeoutMs)
    raw.once('close', () => {
      clearTimeout(timer)
      waitingBytes -= bytes
    })
  }
})

/** Puts the common headers on an answer that the hooks of the routes may never see. */
export function commonHeaders({ id }: FastifyRequest, reply: FastifyReply) {
  reply.headers({ ...securityHeaders, 'x-request-id': id })
}

/** Names the payload by its digest, and leaves it out if the caller has it already. */
function validated({ headers, method }: FastifyRequest, reply: FastifyReply, payload: string | Uint8Array) {
  const etag = String(reply.getHeader('etag') ?? `"${hash('sha256', payload, 'base64url')}"`)
  reply.headers({ etag, 'cache-control': 'private, no-cache', vary: 'Authorization' })
  const ifNoneMatch = headers['if-none-match']
  const known = ifNoneMatch?.split(',').map(tag => tag.trim().replace(/^W\//, ''))
  if (!known?.includes(etag) && ifNoneMatch?.trim() !== '*') return payload
  reply.code(304).removeHeader('content-type')
  return method === 'HEAD' ? Readable.from([]) : null // Fastify's HEAD counts a text as the answer's length, and fails at null
}
