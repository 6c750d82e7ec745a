import { Redis } from 'ioredis'
import { type StoreFault, StoreUnavailableError } from '../store.ts'
import type { ServerPlace } from '../url.ts'
import { createConfirmation } from './confirmation.ts'
import { faultOf, rejected, unconfirmed } from './faults.ts'
import type { Script } from './lua.ts'
import { optionsOf, sentinelOptionsOf, usualSilentMs } from './options.ts'
import { type Evictions, evictionsOf, examine, infoOf, replicasOf, type ServerReport } from './server-report.ts'
import { createWatchdog } from './watchdog.ts'

/** What a script answers: texts, numbers, and lists of them. */
export type Reply = number | string | null | Reply[]

/** One connection that reconnects endlessly; while there is none, every call rejects at once. */
export type Connection = {
  ask(script: Script, args: readonly (string | number)[]): Promise<Reply>
  /** Like `ask`; `confirmed` says whether a replica has it too, where there is one. */
  askConfirmed(script: Script, args: readonly (string | number)[]): Promise<{ reply: Reply; confirmed: boolean }>
  /** Counts the replicas again, and what the server has evicted. */
  refresh(): Promise<Evictions>
  /** Leaves its server, or only the one at this address, and refuses everything until there is another one, or for five seconds. */
  leave(address?: string): void
  /** Resolves once it is up, or with what keeps it from that. */
  opened: Promise<StoreFault | undefined>
  close(): void
}

type ConnectionOptions = {
  /** Called when the connection is up, and when it is lost. */
  onReady?: (report: ServerReport) => void
  onLost?: (fault: StoreFault) => void
  silentMs?: number | undefined
}

const waitMs = 100
const blockMs = 2_000
const againMs = 200

const begins = '+failover-state-send-slaveof-noone'
const promotes = '+promoted-slave'
const ends = '+switch-master'
const failoverMs = 5_000 // it may end without success

/** Opens a connection; resolves nothing and throws nothing: `opened` and `onLost` say how it goes. */
export function connect(place: ServerPlace, options: ConnectionOptions = {}): Connection {
  const { silentMs = usualSilentMs } = options
  const redis = new Redis(optionsOf(place, silentMs))
  const link = superviseLink(redis, place, options)
  const watchdog = createWatchdog(silentMs, () => link.giveUp('busy'))
  const confirm = createConfirmation(async () => {
    const count = await redis.wait(1, waitMs).catch(unconfirmed)
    watchdog.markAlive() // it is the replica that is silent
    return count
  })

  /** A server forgets scripts when it starts: then it is sent the whole text. */
  async function send<T>(script: Script, args: readonly (string | number)[], around: (reply: Promise<unknown>) => Promise<T>): Promise<T> {
    if (!link.up) throw new StoreUnavailableError(link.why)
    try {
      return await watchdog.listen(around(redis.evalsha(script.sha, 0, ...args)))
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return await watchdog.listen(around(redis.eval(script.lua, 0, ...args)))
    }
  }

  return {
    ask: async (script, args) => (await send(script, args, reply => reply).catch(rejected)) as Reply, // scripts answer nothing else
    askConfirmed: async (script, args) => {
      const both = (reply: Promise<unknown>) => Promise.all([reply, link.replicas === 0 ? true : confirm()])
      const [reply, confirmed] = await send(script, args, both).catch(rejected)
      return { reply: reply as Reply, confirmed } // as above
    },
    async refresh() {
      const info = await watchdog.listen(infoOf(redis)).catch(rejected)
      link.replicas = replicasOf(info)
      return evictionsOf(info)
    },
    leave: link.leave,
    opened: link.opened,
    close: link.close,
  }
}

const deaf =
  'a Sentinel does not let the gateway subscribe: SENTINEL FAILOVER can lose keys, and a send whose request is repeated with such a key is sent again; give its user +subscribe allchannels'

type Watched = { writer: Connection; reader: Connection; onWarning: (warning: string) => void }

/** Has both leave a primary that the Sentinels replace, since it takes writes for ten seconds more, which are lost. Returns how to stop. */
export function watchSentinels(place: ServerPlace, { writer, reader, onWarning }: Watched): () => void {
  const watching = sentinelOptionsOf(place).map(options => new Redis(options))
  for (const redis of watching) {
    redis.on('error', () => {}) // the other Sentinels say it, too
    const refused = ({ name }: Error) => name === 'ReplyError' && onWarning(deaf)
    redis.on('ready', () => void redis.subscribe(begins, promotes, ends).catch(refused))
    redis.on('message', (channel, text: string) => {
      const words = text.split(' ') // slave <server> <ip> <port> @ <name> <ip> <port>; of the last one <name> <from> <port> <to> <port>
      if (words[channel === ends ? 0 : 5] !== place.master) return
      if (channel === begins) writer.leave()
      else if (channel === promotes) reader.leave()
      else for (const { leave } of [writer, reader]) leave(`${words[1]} ${words[2]}`)
    })
  }
  return () => {
    for (const redis of watching) redis.disconnect()
  }
}

/** A connection of its own for reads that block; `undefined` when nothing came, and it rejects while there is no connection. */
export function connectToWait(place: ServerPlace): {
  wait(streams: readonly string[], after: readonly string[]): Promise<Reply | undefined>
  close(): void
} {
  const redis = new Redis({ ...optionsOf(place), socketTimeout: 2 * blockMs })
  redis.on('error', () => {}) // the call that fails says it
  return {
    async wait(streams, after) {
      const found = await redis.xread('COUNT', 1_000, 'BLOCK', blockMs, 'STREAMS', ...streams, ...after).catch(rejected)
      return (found as Reply | null) ?? undefined
    },
    close: () => redis.disconnect(),
  }
}

/** Whether the connection is up, and why it is not; shakes hands with every server that answers. */
function superviseLink(redis: Redis, place: ServerPlace, { onReady, onLost }: ConnectionOptions) {
  const opened = Promise.withResolvers<StoreFault | undefined>()
  let epoch = 0
  let former = { address: '', until: 0 }
  const link = {
    up: false,
    why: 'away' as StoreFault,
    replicas: 0,
    opened: opened.promise,
    giveUp(why: StoreFault) {
      Object.assign(link, { up: false, why })
      redis.disconnect(true)
      onLost?.(why)
      return new StoreUnavailableError(why, true)
    },
    leave(address = addressOf(redis)) {
      if (address !== addressOf(redis)) return
      former = { address, until: performance.now() + failoverMs }
      if (link.up) link.giveUp('away')
    },
    close() {
      Object.assign(link, { up: false, why: 'closed' })
      redis.disconnect()
    },
  }

  redis.on('error', error => {
    link.why = faultOf(error)
  })
  redis.on('ready', () => void tryHandshake(++epoch))
  redis.on('close', () => {
    const wasUp = link.up
    link.up = false
    epoch++
    opened.resolve(link.why)
    if (wasUp) onLost?.(link.why)
  })

  const tryHandshake = (mine: number) =>
    handshake(mine).catch(error => {
      if (mine !== epoch) return
      if (faultOf(error) !== 'away') link.why = faultOf(error) // the client may have left because of an error that it has told
      redis.disconnect(true)
    })

  /** Nothing is asked of a server that reads its files still, or that is not the primary. */
  async function handshake(mine: number) {
    if (place.db > 0) await redis.select(place.db) // where that is refused, the client goes on in database 0
    const report = await examine(redis, place.master !== undefined)
    if (mine !== epoch) return
    if (report === 'busy') {
      link.why = 'busy'
      return void setTimeout(tryHandshake, againMs, mine).unref()
    }
    const isFormer = addressOf(redis) === former.address && performance.now() < former.until
    if (isFormer || (report === 'readonly' && place.master !== undefined)) throw new Error('READONLY') // the Sentinels will know better
    Object.assign(link, { up: true, why: 'away' }) // should it end without a word
    if (report !== 'readonly') {
      link.replicas = report.replicas
      onReady?.(report)
    }
    opened.resolve(undefined)
  }
  return link
}

const addressOf = ({ stream }: Redis) => `${stream?.remoteAddress} ${stream?.remotePort}`
