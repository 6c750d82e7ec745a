import type { preHandlerHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { answered, connectionOf } from './connections.ts'

/**
 * Lets a request that changes something wait for the answers before it on its connection: RFC 9112 lets only reads run side by side.
 *
 * It is dropped if one of them closes the connection, since nobody would learn what became of it.
 */
export const pipelining = fp(async function pipelining(app) {
  app.addHook('onRoute', route => {
    const isRead = [route.method].flat().every(method => method === 'GET' || method === 'HEAD')
    if (isRead && route.config?.operation?.safe !== false) return
    route.preHandler = [inTurn, ...[route.preHandler ?? []].flat()]
  })
})

/** Before the handler and not sooner: while it waits, the request must arrive as a whole, or it would count as a slow one. */
const inTurn: preHandlerHookHandler = ({ raw: { socket } }, reply, done) => {
  const connection = connectionOf(socket)
  const { open, closing } = connection
  if (open[0] === reply && !closing) return done()
  const before = open.slice(0, open.indexOf(reply))
  const isClosed = closing?.some(answer => !open.includes(answer))
  void answered(before).then(() => {
    if (!isClosed && !connection.closing?.some(answer => before.includes(answer))) done()
  })
}
