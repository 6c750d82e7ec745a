import type { FastifyInstance } from 'fastify'
import type { CallerConnections } from './connections.ts'

/**
 * Ends requests that are half sent for too long, as Node's `requestTimeout` would: that one has to be long enough for uploads, which have
 * limits of their own. Runs about once a second.
 */
export function endSlowRequests(app: FastifyInstance, { all }: CallerConnections, requestMs: number) {
  const latest = performance.now() - requestMs
  for (const { socket, open, answeredEarly, idleSince } of all) {
    const isLate =
      open.some(({ request, sent }) => !sent && !request.raw.complete && !request.isUpload && request.startedAt < latest) ||
      (answeredEarly?.complete === false && idleSince < latest)
    if (isLate) app.server.emit('clientError', Object.assign(new Error('slow request'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
  }
}
