import type { Check, Completion } from './request-steps.ts'

const readable = 'ETag, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotency-Replayed, Preference-Applied'
const writable = 'Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id'
/** What agents add; there are no sessions. */
const writableByAgents = 'Mcp-Protocol-Version, Mcp-Method, Mcp-Name'

/** Lets pages of these origins call from a browser: with a key in the header, never with cookies. No steps without origins. */
export function createCors(origins: readonly string[], mcp: boolean): { onRequest: Check[]; onSend: Completion[] } {
  if (origins.length === 0) return { onRequest: [], onSend: [] }
  const preflightHeaders = {
    'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
    'access-control-allow-headers': mcp ? `${writable}, ${writableByAgents}` : writable,
    'access-control-max-age': '600',
  }

  const allowOrigin: Check = ({ method, headers }, reply) => {
    const { origin } = headers
    if (origin === undefined || !origins.includes(origin)) return undefined
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': readable })
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return undefined
    return reply.code(204).headers(preflightHeaders).send()
  }
  const varyByOrigin: Completion = (_, reply, payload) => {
    const vary = reply.getHeader('vary')
    reply.header('vary', vary === undefined ? 'Origin' : `${vary}, Origin`)
    return payload
  }
  return { onRequest: [allowOrigin], onSend: [varyByOrigin] }
}
