import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Lifecycle } from '../lib/lifecycle.ts'
import { Problem } from '../problem/problem.ts'

/** Refuses new requests once the process drains, whatever they ask for, and counts those that are owed an answer. */
export const draining = fp<{ lifecycle: Lifecycle }>(async function draining(app: FastifyInstance, { lifecycle }) {
  app.addHook('onRequest', (request, reply, done) => {
    if (lifecycle.phase === 'draining' && !request.routeOptions.url?.startsWith('/health/')) return done(new Problem('draining'))
    lifecycle.unanswered++
    reply.raw.once('close', () => lifecycle.unanswered--)
    done()
  })
  // Callers that keep connections are sent to another process before these are closed under their hands.
  app.addHook('onSend', (_, reply, payload, done) => {
    if (lifecycle.phase !== 'serving') reply.header('connection', 'close')
    done(null, payload)
  })
})
