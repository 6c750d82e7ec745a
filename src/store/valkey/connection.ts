import { Redis, type RedisOptions } from 'ioredis'
import { type StoreFault, StoreUnavailableError, StoreVersionError } from '../store.ts'
import type { ServerPlace } from '../url.ts'
import { prefix, type Script, schemaVersion } from './scripts.ts'

/** What a script answers: texts, numbers, and lists of them. */
export type Reply = number | string | null | Reply[]

/** What a server says of itself; `schema` is absent where nothing of ours is in it yet. */
export type ServerReport = {
  server: string
  usedBytes: number
  /** 0 is no limit. */
  maxBytes: number
  replicas: number
  schema?: number
  /** The newest schema of this release. */
  known: number
  /** In words: which crash could have a send repeated. */
  warnings: string[]
}

/** One connection, made anew for ever; while there is none, everything asked of it rejects at once. */
export type Connection = {
  ask(script: Script, args: readonly (string | number)[]): Promise<Reply>
  /** Like `ask`; `confirmed` says whether a replica has it too, where there is one. */
  askConfirmed(script: Script, args: readonly (string | number)[]): Promise<{ reply: Reply; confirmed: boolean }>
  /** Counts the replicas again. */
  countReplicas(): Promise<void>
  /** Resolves once it is up, or with what keeps it from that. */
  opened: Promise<StoreFault | undefined>
  close(): void
}

type ConnectionOptions = {
  /** Called whenever it is up. */
  onReady?: (report: ServerReport) => void
  lost?: (fault: StoreFault) => void
}

const waitMs = 100
const againMs = 200

/** A server that says nothing for so long, and is owed answers of, is dialled again; meanwhile nobody waits for it. */
const silentMs = 400

/** Our words for what a server answers, by its own first word. */
const faults: Record<string, StoreFault> = {
  OOM: 'full',
  READONLY: 'readonly',
  NOREPLICAS: 'readonly',
  MISCONF: 'io',
  BUSY: 'busy',
  LOADING: 'busy',
  TRYAGAIN: 'busy',
  MASTERDOWN: 'away',
  UNBLOCKED: 'away',
  NOAUTH: 'denied',
  NOPERM: 'denied',
  WRONGPASS: 'denied',
  WRONGTYPE: 'corrupt',
}

/** An error of the client carries the command with its arguments, the password among them: nothing of it goes on but this. */
function faultOf(error: unknown): StoreFault {
  const { message, command } = error as { message?: string; command?: unknown } // whatever ioredis throws
  const word = /^(?:Ready check failed: )?([A-Z]+)\b/.exec(message ?? '')?.[1] ?? ''
  if (message?.startsWith('Socket timeout')) return 'busy'
  if (word === 'ERR' && /AUTH|password/.test(message ?? '')) return 'denied'
  return faults[word] ?? (word === 'ERR' && command ? 'io' : 'away')
}

function unavailable(error: unknown): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error
  const newer = /^NEWERSCHEMA (\d+)/.exec((error as Error).message)?.[1] // as the scripts say it
  if (newer) return new StoreVersionError(`The store has schema version ${newer}, this release knows ${schemaVersion}`)
  return new StoreUnavailableError(faultOf(error))
}

function optionsOf({ tls, hosts: [first, ...others], master, db, ...credentials }: ServerPlace): RedisOptions {
  const { username, password, sentinelUsername, sentinelPassword } = credentials
  const at = { host: 'localhost', ...first }
  return {
    ...(master === undefined
      ? { ...at, ...(tls && { tls: {} }) }
      : { sentinels: [at, ...others], name: master, ...(tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }) }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    db,
    // Nothing is kept for later or sent twice: whoever asked has had an answer by then
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    sentinelCommandTimeout: 500,
    disconnectTimeout: 100,
    socketTimeout: 1_000, // for what is asked on the way to being up; later listen() is quicker
    retryStrategy: times => Math.min(times * 50, 1_000),
    reconnectOnError: ({ message }) => /^(READONLY|UNBLOCKED)\b/.test(message), // another one is the primary now
    enableReadyCheck: false, // handshake() does; the client's own writes to stderr
    disableClientInfo: true,
  }
}

export function connect(place: ServerPlace, { onReady, lost }: ConnectionOptions = {}): Connection {
  const redis = new Redis(optionsOf(place))
  const opened = Promise.withResolvers<StoreFault | undefined>()
  let up = false
  let why: StoreFault = 'away'
  let replicas = 0
  let epoch = 0

  redis.on('error', error => {
    why = faultOf(error)
  })
  redis.on('ready', () => void tryHandshake(++epoch))
  redis.on('close', () => {
    up = false
    epoch++
    opened.resolve(why)
    lost?.(why)
  })

  const tryHandshake = (mine: number) =>
    handshake(mine).catch(error => {
      if (mine !== epoch) return
      why = faultOf(error)
      redis.disconnect(true)
    })

  /** Nothing is asked of a server that reads its files still, or that is not the primary. */
  async function handshake(mine: number) {
    const report = await examine(redis)
    if (mine !== epoch) return
    if (report === 'busy') {
      why = 'busy'
      return void setTimeout(tryHandshake, againMs, mine).unref()
    }
    if (report === 'readonly' && place.master !== undefined) throw new Error('READONLY') // the Sentinels will know better
    up = true
    why = 'away' // should it end without a word
    if (report !== 'readonly') {
      replicas = report.replicas
      onReady?.(report)
    }
    opened.resolve(undefined)
  }

  const waiting = new Set<(error: Error) => void>()
  let aliveAt = 0
  let armed = false

  /** Gives an answer up once the server is silent, however many it has to give before: a busy one is no lost one. */
  function listen<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (waiting.size === 0) aliveAt = performance.now()
      waiting.add(reject)
      armWatchdog()
      answer
        .then(resolve, reject)
        .then(() => waiting.delete(reject))
        .then(markAlive)
    })
  }
  function markAlive() {
    aliveAt = performance.now()
  }
  function armWatchdog() {
    // After a turn of the event loop: had that been held up itself, answers would lie there unread
    if (armed) return
    armed = true
    setTimeout(() => setImmediate(checkWatchdog), aliveAt + silentMs - performance.now()).unref()
  }
  function checkWatchdog() {
    armed = false
    if (waiting.size === 0) return
    if (performance.now() < aliveAt + silentMs) return armWatchdog()
    up = false
    why = 'busy'
    for (const reject of waiting) reject(new StoreUnavailableError('busy'))
    redis.disconnect(true)
    lost?.(why)
  }

  /** A server forgets scripts when it starts: then it is sent the whole text. */
  async function send<T>(script: Script, args: readonly (string | number)[], around: (reply: Promise<unknown>) => Promise<T>): Promise<T> {
    if (!up) throw new StoreUnavailableError(why)
    try {
      return await listen(around(redis.evalsha(script.sha, 0, ...args)))
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return await listen(around(redis.eval(script.lua, 0, ...args)))
    }
  }

  /**
   * Whether what was sent before has reached a replica; to be called in the same turn.
   *
   * WAIT blocks the connection, so what arrives meanwhile shares the next one. It speaks of writes of its own connection only.
   */
  let next: Promise<boolean> | undefined
  let last: Promise<unknown> = Promise.resolve()
  function confirm(): Promise<boolean> {
    if (replicas === 0) return Promise.resolve(true)
    next ??= last
      .then(() => {
        next = undefined
        return redis.wait(1, waitMs)
      })
      .then(count => {
        markAlive() // it is the replica that is silent
        return count > 0
      })
    last = next.catch(() => {})
    return next
  }

  return {
    ask: async (script, args) => (await send(script, args, reply => reply).catch(rejected)) as Reply, // scripts answer nothing else
    askConfirmed: async (script, args) => {
      const both = (reply: Promise<unknown>) => Promise.all([reply, confirm()])
      const [reply, confirmed] = await send(script, args, both).catch(rejected)
      return { reply: reply as Reply, confirmed } // as above
    },
    async countReplicas() {
      const info = await listen(infoOf(redis, 'replication')).catch(rejected)
      replicas = replicasOf(info)
    },
    opened: opened.promise,
    close() {
      up = false
      why = 'closed'
      redis.disconnect()
    },
  }
}

function rejected(error: unknown): never {
  throw unavailable(error)
}

/** What a server says of itself, or why it would not do. */
async function examine(redis: Redis): Promise<ServerReport | 'busy' | 'readonly'> {
  const info = await infoOf(redis)
  if (info.loading === '1') return 'busy'
  if (info.role === 'slave') return 'readonly'
  const schema = await redis.get(`${prefix}schema`)
  return {
    server: info.valkey_version ? `Valkey ${info.valkey_version}` : `Redis ${info.redis_version ?? 'of an unknown version'}`,
    usedBytes: Number(info.used_memory ?? 0),
    maxBytes: Number(info.maxmemory ?? 0),
    replicas: replicasOf(info),
    ...(schema !== null && { schema: Number(schema) }),
    known: schemaVersion,
    warnings: [...(Object.keys(info).length === 0 ? [unasked] : []), ...(await warningsOf(redis))],
  }
}

/** A server need not let us ask. */
async function infoOf(redis: Redis, section?: string): Promise<Record<string, string>> {
  const text = await (section === undefined ? redis.info() : redis.info(section)).catch(error => {
    if (faultOf(error) === 'denied' && /^NOPERM/.test(error.message)) return ''
    throw error
  })
  return Object.fromEntries([...text.matchAll(/^([a-z_0-9]+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]))
}

/** Those that take part: one that is still being sent all the data is connected as well, for minutes, and would confirm nothing. */
const replicasOf = (info: Record<string, string>) =>
  Object.entries(info).filter(([name, value]) => /^slave\d+$/.test(name) && /,state=online,offset=[1-9]/.test(value)).length

const forgets = 'a send whose request is repeated with such a key is sent again'

const unasked =
  'the store does not let INFO be asked: whether it has a replica is not known, so none is waited for, and a failover may forget keys'

async function warningsOf(redis: Redis): Promise<string[]> {
  const names = ['appendonly', 'appendfsync', 'maxmemory-policy']
  const found = await Promise.all(names.map(name => redis.config('GET', name))).catch(error => {
    if (!error.command) throw error
    return undefined // NOPERM, or a service that has renamed it
  })
  if (!found)
    return [
      `the store does not let CONFIG be asked: make sure that it has appendonly yes, appendfsync always and maxmemory-policy noeviction; else it may forget keys, and ${forgets}`,
    ]
  const [appendonly, appendfsync, policy = ''] = found.map(pair => String((pair as string[])[1]))
  const warnings = []
  if (appendonly !== 'yes')
    warnings.push(
      `the store writes no log (appendonly ${appendonly}): when its server crashes or restarts it forgets the keys since its last snapshot, and ${forgets}`,
    )
  else if (appendfsync === 'everysec')
    warnings.push(
      `the store writes its log once a second (appendfsync everysec): when its machine loses power it forgets the keys of up to two seconds, and ${forgets}; when only its process dies, nothing is lost`,
    )
  else if (appendfsync !== 'always')
    warnings.push(
      `the store leaves writing its log to the system (appendfsync ${appendfsync}): when its machine loses power it forgets the keys of half a minute or so, and ${forgets}; when only its process dies, nothing is lost`,
    )
  if (policy.startsWith('allkeys'))
    warnings.push(
      `the store evicts what it likes when its memory is full (maxmemory-policy ${policy}): then it forgets keys without any crash, and ${forgets}; set noeviction`,
    )
  return warnings
}
