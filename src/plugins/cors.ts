import fp from 'fastify-plugin'

const readable = ['ETag', 'Location', 'Retry-After', 'RateLimit', 'RateLimit-Policy', 'Idempotency-Replayed', 'X-Request-Id']
const writable = ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-None-Match', 'X-Request-Id']

const preflightHeaders = {
  'access-control-allow-methods': 'GET, HEAD, POST',
  'access-control-allow-headers': writable.join(', '),
  'access-control-max-age': '600',
}

/** Lets pages of the configured origins call from a browser: with a key in the header, never with cookies. */
export const cors = fp<{ origins: readonly string[] }>(async function cors(app, { origins }) {
  if (origins.length === 0) return

  app.addHook('onRequest', async ({ method, headers }, reply) => {
    const { origin } = headers
    if (origin === undefined || !origins.includes(origin)) return
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': readable.join(', ') })
    if (method === 'OPTIONS' && headers['access-control-request-method'] !== undefined) {
      return reply.code(204).headers(preflightHeaders).send()
    }
  })
  app.addHook('onSend', async (_, reply) => {
    const vary = reply.getHeader('vary')
    reply.header('vary', vary === undefined ? 'Origin' : `${vary}, Origin`)
  })
})
