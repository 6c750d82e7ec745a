import type { Lifecycle } from '../lib/lifecycle.ts'
import { Problem } from '../problem/problem.ts'
import { closeAfter } from './connections.ts'
import type { Check, Cleanup, Completion } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route answers until the process ends. */
    whileDraining?: true
  }
  interface FastifyRequest {
    /** Whether the request was accepted, so that the process waits for its answer. */
    accepted?: boolean
  }
}

/** Refuses new requests while the process drains, and counts the accepted ones that wait for an answer. */
export function createDraining(lifecycle: Lifecycle) {
  const refuse: Check = request => {
    if (lifecycle.phase === 'draining' && !request.route.whileDraining) return new Problem('draining')
    request.accepted = true
    lifecycle.unanswered++
    return undefined
  }
  const release: Cleanup = request => {
    if (request.accepted) lifecycle.unanswered--
    request.accepted = false // a stream whose caller has left may open later
  }
  /** Sends callers that keep their connection to another process, before this one closes it. */
  const endKeepAlive: Completion = (_, reply, payload) => {
    if (lifecycle.phase === 'serving') return payload
    closeAfter(reply)
    reply.header('connection', 'close')
    return payload
  }
  return { refuse, release, endKeepAlive }
}
