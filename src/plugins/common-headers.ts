import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Check } from './request-steps.ts'

/** The headers of every answer. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
}

/** Sets the security headers and the request id. */
export const setCommonHeaders: Check = ({ id }, reply) => {
  reply.headers(securityHeaders).header('x-request-id', id)
  return undefined
}

/** The caller's own request id if it is valid, else a new one. */
export function requestIdOf({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && /^[A-Za-z0-9_-]{8,64}$/.test(given) ? given : randomUUID()
}
