import type { Client } from '../afilnet/client.ts'
import { createLargeResponseSlots, shareLargeResponseSlots } from '../afilnet/large-responses.ts'
import type { PreparedTransports } from '../afilnet/prepared-transports.ts'
import type { AccountConfig } from '../config/account.ts'
import { type Observe, unobserved } from '../events.ts'
import { createWriteVersions, OpenAccount } from './account.ts'
import type { Account, TraceAttempt } from './call.ts'
import type { UpstreamHealth } from './call-policy.ts'

/** The accounts at Afilnet. */
export type Upstream = {
  /** The account of that name, as it is configured now. */
  open(account: string): Account
  state(): { sandbox: boolean; credentialsRejected: boolean }
  /** The state of each account, for the operator. */
  report(): AccountReport[]
  /** Uses new secrets and addresses, of transports that are prepared; calls under way end with the old ones. */
  reload(accounts: Record<string, AccountConfig>): void
  close(): Promise<void>
}

/** The state of an account: what Afilnet answers it, and what is under way. */
export type AccountReport = UpstreamHealth & { account: string; inFlight: number; queued: number; capacity: number }

type UpstreamOptions = {
  accounts: Record<string, AccountConfig>
  timeoutMs: number
  lateMs: number
  maxResponseBytes: number
  readCacheMs: number
  proxyUrl?: URL | undefined
  transports?: PreparedTransports
  observe?: Observe
  traceAttempt?: TraceAttempt | undefined
}

/** How long a request may take to arrive as a whole, files included, and then some. */
const longestArrivalMs = 360_000

/** Opens all accounts; nothing connects before the first call. */
export function createUpstream({ accounts: configured, observe = unobserved, traceAttempt, ...options }: UpstreamOptions): Upstream {
  const { timeoutMs, lateMs } = options
  const slots = createLargeResponseSlots()
  const clients = new Set<Client>()
  const accounts = new Map<string, OpenAccount>()
  const evenShare = { bytes: 0 }
  const versions = new Map<string, Uint32Array>() // by user; a reload keeps them, since sends under way go on

  function configure(next: Record<string, AccountConfig>) {
    const several = Object.keys(next).length > 1
    const connections = Object.values(next).reduce((sum, { connections }) => sum + connections, 0)
    evenShare.bytes = Math.floor(options.maxResponseBytes / connections)
    for (const [name, config] of Object.entries(next)) {
      const old = accounts.get(name)
      if (old && JSON.stringify(old.config) === JSON.stringify(config)) continue
      const writeVersions = versions.get(config.user) ?? createWriteVersions()
      versions.set(config.user, writeVersions)
      const largeResponseSlots = several ? shareLargeResponseSlots(slots) : slots
      const own = { observe, traceAttempt, evenShare, writeVersions, largeResponseSlots }
      const account = new OpenAccount(name, config, { ...options, ...own })
      clients.add(account.client)
      accounts.set(name, account)
      if (old) retire(old)
    }
    for (const [name, account] of accounts) {
      if (Object.hasOwn(next, name)) continue
      accounts.delete(name)
      retire(account)
    }
  }

  /** Closes an account as soon as no request that came in before can still arrive, wait for a slot or be retried. */
  function retire({ client }: OpenAccount) {
    const close = () => clients.delete(client) && client.close()
    setTimeout(close, longestArrivalMs + timeoutMs + lateMs).unref()
  }

  configure(configured)
  return {
    open(name) {
      const account = accounts.get(name)
      if (!account) throw new Error('a caller names an account that is not configured')
      return account
    },
    state: () => ({
      sandbox: [...accounts.values()].some(({ client }) => client.isSandbox),
      credentialsRejected: [...accounts.values()].some(({ policy }) => policy.credentials.isOpen),
    }),
    report: () =>
      [...accounts.values()].map(({ name, config, client, policy }) => ({
        account: name,
        ...policy.health(),
        ...client.load(),
        capacity: config.connections,
      })),
    reload: configure,
    async close() {
      const open = [...clients]
      clients.clear()
      await Promise.all(open.map(client => client.destroy()))
    },
  }
}
