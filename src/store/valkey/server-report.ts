import { faultOf } from './faults.ts'
import { prefix, schemaVersion } from './lua.ts'

/** What is asked of a server before it is used. */
type Client = {
  info(): Promise<string>
  get(key: string): Promise<string | null>
  config(verb: 'GET', name: string): Promise<unknown>
}

/** What a server reports; `schema` is absent where the gateway has written nothing yet. */
export type ServerReport = {
  server: string
  usedBytes: number
  /** 0 is no limit. */
  maxBytes: number
  replicas: number
  evictions: Evictions
  schema?: number
  /** The newest schema of this release. */
  known: number
  /** In words: which crash could have a send repeated. */
  warnings: string[]
}

const tooSmall =
  'the server has less memory (maxmemory) than STORE_MAX_MB: when it is full it refuses sends, and repeated ones do not get the result of the first'

/** All that is to be said of a server whose ledger may have that many bytes. */
export const warningsFor = ({ warnings, maxBytes }: ServerReport, ledgerBytes: number): string[] =>
  maxBytes > 0 && maxBytes < ledgerBytes ? [...warnings, tooSmall] : warnings

/** What a server says of itself, or why it would not do; `failsOver` where Sentinels may put another one in its place. */
export async function examine(redis: Client, failsOver: boolean): Promise<ServerReport | 'busy' | 'readonly'> {
  const info = await infoOf(redis)
  if (info.loading === '1') return 'busy'
  if (info.role === 'slave') return 'readonly'
  const schema = await redis.get(`${prefix}schema`)
  return {
    server: info.valkey_version ? `Valkey ${info.valkey_version}` : `Redis ${info.redis_version ?? 'of an unknown version'}`,
    usedBytes: Number(info.used_memory ?? 0),
    maxBytes: Number(info.maxmemory ?? 0),
    replicas: replicasOf(info),
    evictions: evictionsOf(info),
    ...(schema !== null && { schema: Number(schema) }),
    known: schemaVersion,
    warnings: [...(Object.keys(info).length === 0 ? [unasked] : []), ...(await warningsOf(redis, failsOver))],
  }
}

/** A server need not let us ask. */
export async function infoOf(redis: Client): Promise<Record<string, string>> {
  const text = await redis.info().catch(error => {
    if (faultOf(error) === 'denied' && /^NOPERM/.test(error.message)) return ''
    throw error
  })
  return Object.fromEntries([...text.matchAll(/^([a-z_0-9]+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]))
}

/** Those that take part: one that is still being sent all the data is connected as well, for minutes, and would confirm nothing. */
export const replicasOf = (info: Record<string, string>) =>
  Object.entries(info).filter(([name, value]) => /^slave\d+$/.test(name) && /,state=online,offset=[1-9]/.test(value)).length

/** How many keys the server has evicted since it started, and whether keys of a ledger can be among them. */
export type Evictions = { evicted: number; ofLedger: boolean }

/** A ledger's keys have no expiry: only `allkeys-*` takes them. A server that hides its policy may. */
export const evictionsOf = (info: Record<string, string>): Evictions => ({
  evicted: Number(info.evicted_keys ?? 0),
  ofLedger: !/^(volatile|noeviction)/.test(info.maxmemory_policy ?? ''),
})

const forgets = 'a send whose request is repeated with such a key is sent again'

const unasked =
  'the store does not let INFO be asked: whether it has a replica is not known, so none is waited for, and a failover may forget keys'

async function warningsOf(redis: Client, failsOver: boolean): Promise<string[]> {
  const names = ['appendonly', 'appendfsync', 'maxmemory-policy', 'min-replicas-to-write']
  const found = await Promise.all(names.map(name => redis.config('GET', name))).catch(error => {
    if (!error.command) throw error
    return undefined // NOPERM, or a service that has renamed it
  })
  if (!found)
    return [
      `the store does not let CONFIG be asked: make sure that it has appendonly yes, appendfsync always and maxmemory-policy noeviction; else it may forget keys, and ${forgets}`,
    ]
  const [appendonly, appendfsync, policy = '', confirming] = found.map(pair => String((pair as string[])[1]))
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
  if (failsOver && confirming === '0')
    warnings.push(
      `the store takes writes without a replica (min-replicas-to-write 0): a primary that a failover leaves behind forgets the keys of some ten seconds, and ${forgets}; set min-replicas-to-write 1`,
    )
  return warnings
}
