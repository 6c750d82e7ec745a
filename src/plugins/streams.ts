import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Lifecycle } from '../lib/lifecycle.ts'
import type { Completion } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends the headers now and hands over the response, for an answer without an end. */
    beginStream(): ServerResponse
    /** Says that a stream has ended, so that a caller who does not take the rest is not waited for. */
    endStream(): void
  }
}

/**
 * Answers that stay open: no drain waits for them, and the limit of slow readers begins with their end.
 *
 * They write to the socket by themselves: a stream of Node for each one would cost more memory than the connection.
 */
export const streams = fp<{ lifecycle: Lifecycle; onSend: readonly Completion[] }>(async function streams(app, { lifecycle, onSend }) {
  app.decorateReply('beginStream', function beginStream(this: FastifyReply) {
    const { request, raw } = this
    for (const complete of onSend) complete(request, this, undefined)
    delete this.sentAt
    leaveDrain(request, lifecycle)
    this.hijack()
    raw.writeHead(200, this.getHeaders() as Record<string, string>) // set by this gateway, as texts
    raw.flushHeaders()
    return raw
  })
  app.decorateReply('endStream', function endStream(this: FastifyReply) {
    this.sentAt = performance.now()
    this.raw.end()
  })
})

function leaveDrain(request: FastifyRequest, lifecycle: Lifecycle) {
  if (request.accepted) lifecycle.unanswered--
  request.accepted = false
}
