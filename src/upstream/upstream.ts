import { type CallOptions, type Client, createClient, createLargeAnswers, shareLargeAnswers } from '../afilnet/client.ts'
import { failures, UpstreamError } from '../afilnet/faults.ts'
import type { Operation, Params } from '../afilnet/operations.ts'
import type { AccountConfig } from '../config/accounts.ts'
import { type Observe, unobserved } from '../events.ts'
import type { Cancellation } from '../lib/cancellation.ts'
import { joinRead, leavingAfter, type SharedRead, shareRead } from '../lib/single-flight.ts'
import type { Account, Call } from './call.ts'
import { type Asking, type Budget, createAsking, type Standing } from './call-policy.ts'
import type { Body, ViewOptions } from './list-body.ts'
import { createRenderer } from './renderer.ts'
import { type Answer, createRecentAnswers, newAnswer, type RecentAnswers } from './response-cache.ts'

/** A send that is ready to leave; `sends/` declares what it needs of one. */
type SendAttempt = { admit(): void; run(onLateResult: (error?: unknown) => void): Promise<void> }

/** Afilnet as the routes see it. */
export type Upstream = {
  /** A read, as callers get it; identical safe ones at one time share one call. A caller that is limited to some `chats` sees only those channels. */
  read<O extends Operation>(operation: O, params: Params<O>, context: Call, chats?: readonly string[]): Promise<Body>
  /** A send, ready to leave: never shared, never cancelled by its caller, repeated only if nothing left. Throws if it cannot be written. */
  prepareSend<O extends Operation>(operation: O, params: Params<O>, context: Call): SendAttempt
  /** The account of that name, as it stands now. */
  open(account: string): Account
  state(): { sandbox: boolean; credentialsRejected: boolean }
  /** How each account stands, for the operator. */
  report(): AccountReport[]
  /** Takes over new secrets and addresses; calls under way end with the old ones. */
  reload(accounts: Record<string, AccountConfig>): void
  close(): Promise<void>
}

/** How an account stands: what Afilnet answers it, and what is under way. */
export type AccountReport = Standing & { account: string; inFlight: number; queued: number; capacity: number }

/** Runs one attempt at a call, and may see how it ends. */
export type Around = <T>(context: Call, operation: Operation, attempt: () => Promise<T>) => Promise<T>

type UpstreamOptions = {
  accounts: Record<string, AccountConfig>
  timeoutMs: number
  lateMs: number
  maxResponseBytes: number
  readCacheMs: number
  observe?: Observe
  around?: Around | undefined
}

type OpenAccount = Account & {
  config: AccountConfig
  client: Client
  asking: Asking
  reads: Map<string, SharedRead<Answer>>
  recent: RecentAnswers
  /** How many sends to a channel were answered; several channels may share a count. */
  sendsAnswered: Uint32Array
  sandboxed: boolean
}

/** How long a request may take to arrive as a whole, and then some. */
const longestArrivalMs = 60_000

/** Opens the pools of all accounts; nothing connects before the first call. */
export function createUpstream({
  accounts,
  timeoutMs,
  lateMs,
  maxResponseBytes,
  readCacheMs,
  observe = unobserved,
  around = (_context, _operation, attempt) => attempt(),
}: UpstreamOptions): Upstream {
  const renderer = createRenderer()
  const count = (all: typeof accounts) => Object.values(all).reduce((sum, { connections }) => sum + connections, 0)
  let connections = count(accounts)
  let several = Object.keys(accounts).length > 1
  const largeAnswers = createLargeAnswers()
  const clients = new Set<Client>()
  const opened = new Map(Object.entries(accounts).map(([name, config]) => [name, openAccount(name, config)]))
  const open = (name: string) => {
    const account = opened.get(name)
    if (!account) throw new Error('a caller names an account that is not configured')
    return account
  }
  const accountOf = ({ account }: Call) => account as OpenAccount // only `open` makes them

  function openAccount(name: string, config: AccountConfig): OpenAccount {
    const onSandbox = () => {
      account.sandboxed = true
    }
    const account: OpenAccount = {
      name,
      user: config.user,
      config,
      client: createClient({
        ...config,
        allConnections: () => connections,
        timeoutMs,
        lateMs,
        maxResponseBytes,
        largeAnswers: several ? shareLargeAnswers(largeAnswers) : largeAnswers,
        onSandbox,
      }),
      asking: createAsking({ account: name, timeoutMs, observe }),
      reads: new Map(),
      recent: createRecentAnswers(readCacheMs),
      sendsAnswered: new Uint32Array(1_024),
      sandboxed: false,
    }
    clients.add(account.client)
    return account
  }

  /** Lets go of a client as soon as no request that came in before can still arrive, wait for a place or be repeated. */
  function retire(client: Client) {
    setTimeout(
      () => {
        if (clients.delete(client)) void client.close()
      },
      longestArrivalMs + timeoutMs + lateMs,
    ).unref()
  }

  const ask = <T>(context: Call, operation: Operation, cancellation: Cancellation | undefined, call: (budget: Budget) => Promise<T>) =>
    accountOf(context).asking.ask(
      operation,
      { caller: context.caller, cancellation, around: attempt => around(context, operation, attempt) },
      call,
    )

  /** The answer to a safe read: one that is fresh, one that is on its way, or a new one. */
  function answerOf<O extends Operation>(operation: O, params: Params<O>, key: string, context: Call, view: ViewOptions): Promise<Answer> {
    const account = accountOf(context)
    // A read that begins after a send was answered must not be given an answer from before it.
    const since = `${account.sendsAnswered[channelOf(params)]} ${key}`
    const fresh = account.recent.fresh(since)
    if (fresh) return Promise.resolve(fresh)
    const fetchAnswer = (budget: Budget, cancellation: Cancellation) =>
      fetched(account, operation, params, { ...budget, cancellation }, async bytes => {
        const answer = account.recent.same(key, bytes)
        const { skipped } = await bodyOf(operation, answer, view) // what is no result must be known before anybody counts it as one
        if (skipped > 0) observe('rowsSkipped', { account: account.name, operation: operation.method, count: skipped })
        account.recent.keepFresh(since, answer)
        return answer
      })
    const share = (waiter = context.cancellation) =>
      joinRead(
        shareRead(account.reads, since, cancellation => ask(context, operation, cancellation, budget => fetchAnswer(budget, cancellation))),
        waiter,
      )
    const begun = account.reads.get(since)
    if (!begun) return share()
    const deadline = performance.now() + timeoutMs
    return joinRead(begun, context.cancellation).catch(error => {
      // That another caller got no place, or had no time left, says nothing about this one.
      const leftMs = deadline - performance.now()
      const fault = error instanceof UpstreamError ? error.fault : undefined
      if (fault !== failures.overloaded && (fault !== failures.timeout || leftMs <= 0)) throw error
      const { cancellation, stay } = leavingAfter(leftMs, context.cancellation, new UpstreamError(failures.timeout, operation))
      const other = account.reads.get(since)
      return (other ? joinRead(other, cancellation) : share(cancellation)).finally(stay)
    })
  }

  /** What callers of that view get of an answer, made once. */
  const bodyOf = (operation: Operation, answer: Answer, view: ViewOptions) => renderer.render(operation, answer, view)

  return {
    async read(operation, params, context, chats) {
      const account = accountOf(context)
      const { timezone, rows } = account.config
      const view = { timezone, rows, chats, asked: params }
      if (!operation.safe) {
        context.unsafeStarted = true
        return observed(
          context,
          ask(context, operation, undefined, budget =>
            fetched(account, operation, params, budget, async bytes => {
              const body = await bodyOf(operation, newAnswer(bytes), view)
              if (body.skipped > 0) observe('rowsSkipped', { account: account.name, operation: operation.method, count: body.skipped })
              return body
            }),
          ),
        )
      }
      if (context.cancellation.reason) throw context.cancellation.reason
      const key = JSON.stringify([operation.method, params])
      const answer = await observed(context, answerOf(operation, params, key, context, view))
      return bodyOf(operation, answer, view)
    },
    prepareSend(operation, params, context) {
      const account = accountOf(context)
      const ready = account.client.prepare(operation, params)
      const run = async (late: (error?: unknown) => void) => {
        context.unsafeStarted = true
        try {
          await observed(
            context,
            ask(context, operation, undefined, budget => ready({ ...budget, late: answer => void answer.then(() => late(), late) })),
          )
        } finally {
          const channel = channelOf(params)
          account.sendsAnswered[channel] = (account.sendsAnswered[channel] ?? 0) + 1
        }
      }
      const admit = () => {
        account.asking.admit(operation)
        try {
          account.client.admit(operation, context.caller)
        } catch (error) {
          observe('callRefused', { account: account.name, reason: 'overloaded' })
          throw error
        }
      }
      return { admit, run }
    },
    open,
    state: () => ({
      sandbox: [...opened.values()].some(({ sandboxed }) => sandboxed),
      credentialsRejected: [...opened.values()].some(({ asking }) => asking.credentialsRejected()),
    }),
    report: () =>
      [...opened.values()].map(({ name, config, client, asking }) => ({
        account: name,
        ...asking.standing(),
        ...client.load(),
        capacity: config.connections,
      })),
    reload(accounts) {
      several = Object.keys(accounts).length > 1
      connections = count(accounts)
      for (const [name, { config, client }] of opened) {
        const next = accounts[name]
        if (next && JSON.stringify(next) === JSON.stringify(config)) continue
        opened.delete(name)
        retire(client)
      }
      for (const [name, config] of Object.entries(accounts)) if (!opened.has(name)) opened.set(name, openAccount(name, config))
    },
    close: async () => {
      const open = [...clients]
      clients.clear()
      await Promise.all([...open.map(client => client.destroy()), renderer.close()])
    },
  }
}

/** Gets an answer and reads it; a large one gives up its room only then. */
async function fetched<O extends Operation, T>(
  { client }: OpenAccount,
  operation: O,
  params: Params<O>,
  options: Omit<CallOptions, 'hold'>,
  read: (bytes: Uint8Array) => T | Promise<T>,
): Promise<T> {
  let leave = () => {}
  const hold = (leaveLarge: () => void) => {
    leave = leaveLarge
  }
  try {
    return await read(await client.fetch(operation, params, { ...options, hold }))
  } finally {
    leave()
  }
}

/** Which count of sends a read of a channel, or of one of its conversations, looks at; a bounded number, so two may be the same. */
function channelOf({ platform = '', platformid = '' }: { platform?: string; platformid?: string }) {
  let hash = 0
  for (const text of [platform, platformid]) for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) | 0
  return hash & 1_023
}

async function observed<T>(context: Call, call: Promise<T>): Promise<T> {
  const startedAt = performance.now()
  try {
    return await call
  } catch (error) {
    if (error instanceof UpstreamError && error.upstreamCode !== undefined) context.upstreamCode = error.upstreamCode
    throw error
  } finally {
    context.upstreamMs = Math.round(performance.now() - startedAt)
  }
}
