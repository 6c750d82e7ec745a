import type { FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../problem/problem.ts'
import { unauthenticated } from './authentication.ts'
import { type Check, runChecks } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A read whose answer takes too much to be made before it can leave. */
    inTurn?: true
  }
}

/** So many answers may be due on a connection before one that waits for them. Each waiting request holds its body in memory. */
const maxBefore = 64

/** So many requests may wait on all connections together, which is 64 MiB of bodies. */
const maxWaiting = 1_024

type PipeliningOptions = {
  /** Whether the callers were replaced since the request began: its body may have taken minutes to arrive. */
  isOutdated: (request: FastifyRequest) => boolean
  recheck: readonly Check[]
  /** How long files that have arrived may wait: few forms may be on their way at one time, and a stream of events has no end. */
  formMs: number
}

/**
 * Lets a request that changes something wait for the answers before it on its connection: RFC 9112 lets only reads run side by side. So
 * does a download, which would hold an open file and a piece of it in memory.
 *
 * It is dropped if one of them closes the connection, since its own answer could not leave. `recheck` runs again after a wait, and after a
 * reload: meanwhile the key may have been disabled.
 */
export const pipelining = fp<PipeliningOptions>(async function pipelining(app, options) {
  const waitForTurn = inTurn(options)
  app.addHook('onRoute', route => {
    const isRead = [route.method].flat().every(method => method === 'GET' || method === 'HEAD')
    if (isRead && route.config?.operation?.safe !== false && !route.config?.inTurn) return
    route.preHandler = [waitForTurn, ...[route.preHandler ?? []].flat()]
  })
})

/**
 * Whether nothing is done for a request whose turn it is: its own answer could not leave, or the caller of an unsafe read has left, and the
 * messages that it would mark as read would be lost. A send runs all the same.
 */
function isDropped({ method, raw, connection: { open, closing } }: FastifyRequest) {
  if ((method === 'GET' || method === 'HEAD') && raw.socket.destroyed) return true
  return closing?.some(answer => !open.includes(answer)) // all answers before it are gone, and those after it are still open
}

/** Before the handler and not sooner: while it waits, the request must arrive as a whole, or it would count as a slow one. */
function inTurn({ isOutdated, recheck, formMs }: PipeliningOptions): preHandlerHookHandler {
  let waiting = 0

  /** A request whose callers were replaced as it came keeps its account, unless its key has lost that. */
  function recheckArrived(request: FastifyRequest, reply: FastifyReply, done: (problem?: Error) => void) {
    const account = request.call?.account
    runChecks(recheck, 0, request, reply, problem => {
      const hasMoved = !problem && account && request.call.account.name !== account.name
      if (account) request.call.account = account
      done(hasMoved ? unauthenticated('This key is of another account now.') : problem)
    })
  }

  return (request, reply, done) => {
    const { open } = request.connection
    const at = open.lastIndexOf(reply)
    const before = open[at - 1] // answers leave in their order, so it is the last of them
    if (!before && isOutdated(request)) return recheckArrived(request, reply, done)
    if (!before) return isDropped(request) ? void request.form?.discard() : done()
    if (at > maxBefore) return done(tooMany('on this connection'))
    if (waiting >= maxWaiting) return done(tooMany('on all connections'))
    waiting++
    const leave = () => {
      clearTimeout(timer)
      before.raw.off('close', onTurn)
      waiting--
    }
    const onTurn = () => {
      leave()
      if (isDropped(request)) void request.form?.discard()
      else runChecks(recheck, 0, request, reply, done)
    }
    const onLate = () => {
      leave()
      done(new Problem('overloaded', { detail: 'The answers before it on this connection take too long.' }))
    }
    before.raw.once('close', onTurn)
    const timer = request.form && setTimeout(onLate, formMs)
  }
}

const tooMany = (where: string) => new Problem('overloaded', { detail: `Too many requests wait ${where} for the answers before them.` })
