import type { ChatLimit } from '../access.ts'
import { Client, type ClientOptions } from '../afilnet/client.ts'
import type { Operation, Params } from '../afilnet/operations.ts'
import type { PreparedTransports } from '../afilnet/prepared-transports.ts'
import type { AccountConfig } from '../config/account.ts'
import type { Observe } from '../events.ts'
import { isLoopback } from '../lib/addresses.ts'
import { BackgroundReads } from './background.ts'
import type { Account, Call, Listing, SendAttempt, TraceAttempt } from './call.ts'
import { CallPolicy } from './call-policy.ts'
import { CallerRead } from './caller-read.ts'
import type { Body, ViewOptions } from './list-body.ts'
import { ResponseCache } from './response-cache.ts'
import { Sending, type SharedRead, type TaskContext, UnsharedRead } from './tasks.ts'

type AccountOptions = Pick<ClientOptions, 'evenShare' | 'timeoutMs' | 'lateMs' | 'maxResponseBytes' | 'largeResponseSlots' | 'proxyUrl'> & {
  readCacheMs: number
  /** For the transports json and soap; what an account needs of it has been prepared. */
  transports?: PreparedTransports | undefined
  observe: Observe
  traceAttempt: TraceAttempt | undefined
  /** Shared by all accounts of a user at Afilnet: they write into the same conversations. */
  writeVersions: Uint32Array
}

type Values = Record<string, string | undefined>

/** Counters of writes; several channels may share one. */
const buckets = 1_024

/** How many sends to a channel were answered. */
export const createWriteVersions = () => new Uint32Array(buckets)

/** One account at Afilnet: its connections, its policy and its latest answers. */
export class OpenAccount implements Account, TaskContext {
  readonly name: string
  readonly user: string
  readonly isLocal: boolean
  readonly config: AccountConfig
  readonly client: Client
  readonly policy: CallPolicy
  readonly traceAttempt: TraceAttempt | undefined
  readonly cache: ResponseCache<SharedRead>
  readonly #background: BackgroundReads
  readonly #observe: Observe
  readonly #maxBodyBytes: number
  readonly #writeVersions: Uint32Array

  constructor(name: string, config: AccountConfig, options: AccountOptions) {
    const { readCacheMs, transports, observe, traceAttempt, writeVersions, ...rest } = options
    this.name = name
    this.user = config.user
    this.isLocal = isLoopback(config.url)
    this.config = config
    const protocol = transports?.open(config, report => observe('tokenRequested', { account: name, ...report }))
    this.client = new Client({ ...rest, ...config, protocol })
    this.policy = new CallPolicy({ account: name, timeoutMs: rest.timeoutMs, observe })
    this.cache = new ResponseCache(readCacheMs)
    this.traceAttempt = traceAttempt
    this.#writeVersions = writeVersions
    this.#observe = observe
    this.#maxBodyBytes = rest.maxResponseBytes * 1.25 // a body has names and instants that Afilnet does not send
    this.#background = new BackgroundReads(this, config.connections)
  }

  read<O extends Operation>(operation: O, params: Params<O>, call: Call, chats?: readonly ChatLimit[]): Promise<Body> {
    const { timezone, rows, sent } = this.config
    const view: ViewOptions = { timezone, rows, sent, chats, asked: params, maxBodyBytes: this.#maxBodyBytes }
    try {
      if (!operation.safe) return new UnsharedRead(this, this.client.write(operation, params), { operation, call, view }).run()
      const key = keyOf(operation, params, rows !== undefined && chats !== undefined)
      // A read that begins after a send was answered must not be given an answer from before it.
      const version = this.#writeVersions[bucketOf(params)] ?? 0
      return new CallerRead(this, { operation, params, call, view, key, entry: this.cache.entryOf(key), version }).run()
    } catch (error) {
      return Promise.reject(error) // the transport cannot carry the request
    }
  }

  async background<O extends Operation>(operation: O, params: Params<O>, knownDigest?: string): Promise<Listing<O>> {
    const { timezone, rows, sent } = this.config
    const view: ViewOptions = { timezone, rows, sent, asked: params, maxBodyBytes: this.#maxBodyBytes }
    return this.#background.read(operation, this.client.write(operation, params), view, knownDigest)
  }

  prepareSend<O extends Operation>(operation: O, params: Params<O>, call: Call): SendAttempt {
    return new Sending(this, { operation, request: this.client.write(operation, params), call, bucket: bucketOf(params) })
  }

  admit(operation: Operation, caller: string) {
    this.policy.admit(operation)
    try {
      this.client.admit(operation, caller)
    } catch (error) {
      this.#observe('callRefused', { account: this.name, reason: 'overloaded' })
      throw error
    }
  }

  recordWrite(bucket: number) {
    this.#writeVersions[bucket] = (this.#writeVersions[bucket] ?? 0) + 1
  }

  reportSkipped({ method: operation }: Operation, count: number) {
    this.#observe('rowsSkipped', { account: this.name, operation, count })
  }
}

/** Names a read by what it asks, and by whether its answer is judged more strictly; the lengths keep two reads apart whatever the values hold. */
function keyOf({ method, required }: Operation, params: Values, isStrict: boolean) {
  let key = isStrict ? `${method} strict` : method
  for (const name of required) key += ` ${params[name]?.length}:${params[name]}`
  return key
}

/** The counter of writes for a channel or for one of its chats. */
function bucketOf({ platform = '', platformid = '' }: Values) {
  let hash = 0
  for (const text of [platform, platformid]) for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) | 0
  return hash & (buckets - 1)
}
