import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { networkOf } from '../lib/addresses.ts'

/** A caller's connection. */
export type Connection = {
  socket: Socket
  /** The answers that are not written as a whole yet, oldest first. */
  open: FastifyReply[]
  idleSince: number
  /** The last request, if it was answered before it had arrived as a whole. */
  answeredEarly: IncomingMessage | undefined
  /** Bytes came that are no request: nothing more is read. */
  unreadable: boolean
  /** The answers with `Connection: close`. */
  closing: FastifyReply[] | undefined
}

export type CallerConnections = { all: ReadonlySet<Connection> }

const property = Symbol('connection')

/** The connection of a socket: a property, since a long-lived map would promote the requests that its entries hold. */
export function connectionOf(socket: Socket & { [property]?: Connection }): Connection {
  socket[property] ??= { socket, open: [], idleSince: performance.now(), answeredEarly: undefined, unreadable: false, closing: undefined }
  return socket[property]
}

/** Notes that an answer closes its connection. */
export function closeAfter(reply: FastifyReply) {
  const { connection } = reply.request
  connection.closing ??= []
  connection.closing.push(reply)
}

type ConnectionLimits = {
  max: number
  keepAliveMs: number
  /** Of the proxies in front, each of which speaks for many callers. */
  isTrusted: (address: string | undefined) => boolean
  observe: (event: 'connectionShed', details: { reason: 'share' | 'idle' }) => void
}

/**
 * Keeps one address from taking every connection.
 *
 * An address may hold as many as are still free: alone half of them, and the next address always finds some. Beyond its share it loses
 * the one that has been idle longest, and if none is idle the new one. When more than half are taken, idle ones are kept for less time.
 */
export function createConnections({ max, keepAliveMs, isTrusted, observe }: ConnectionLimits) {
  const all = new Set<Connection>()
  const byNetwork = new Map<string, Set<Connection>>()

  function accept(socket: Socket) {
    const network = networkOf(socket.remoteAddress ?? '')
    const own = byNetwork.get(network) ?? new Set()
    const share = isTrusted(socket.remoteAddress) ? max - (all.size - own.size) : max - all.size
    if (own.size >= share && !shedIdlest(own)) {
      observe('connectionShed', { reason: 'share' })
      return void socket.destroy()
    }
    const connection = connectionOf(socket)
    byNetwork.set(network, own.add(connection))
    all.add(connection)
    socket.once('close', () => {
      all.delete(connection)
      own.delete(connection)
      if (own.size === 0 && byNetwork.get(network) === own) byNetwork.delete(network)
    })
  }

  function shedIdlest(own: Set<Connection>) {
    let idlest: Connection | undefined
    for (const connection of own) {
      if (connection.open.length === 0 && connection.idleSince < (idlest?.idleSince ?? Number.POSITIVE_INFINITY)) idlest = connection
    }
    if (!idlest) return false
    observe('connectionShed', { reason: 'share' })
    all.delete(idlest)
    own.delete(idlest)
    idlest.socket.destroy()
    return true
  }

  /** Runs about once a second. */
  function closeIdle() {
    const free = max - all.size
    if (free >= max / 2) return // Node closes them after `keepAliveMs`
    const latest = performance.now() - keepAliveMs * (free / (max / 2))
    for (const { socket, open, idleSince } of all) {
      if (open.length > 0 || idleSince >= latest) continue
      observe('connectionShed', { reason: 'idle' })
      socket.destroy()
    }
  }

  return { all, accept, closeIdle }
}
