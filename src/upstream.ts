import { type CallOptions, type Client, createClient, createLargeAnswers, shareLargeAnswers } from './afilnet/client.ts'
import type { Departure } from './afilnet/departure.ts'
import { type Fault, failures, faults, UpstreamError } from './afilnet/faults.ts'
import { type Operation, operations, type Params } from './afilnet/operations.ts'
import { atOnce, type Breaker, createBreaker, halfOfRecent, type Verdict } from './breaker.ts'
import type { AccountConfig } from './config-accounts.ts'
import { type Observe, unobserved } from './observe.ts'
import { Problem, type ProblemCode } from './problem.ts'
import { type Answer, createRecentAnswers, newAnswer, type RecentAnswers } from './recent-answers.ts'
import { createRenderer } from './renderer.ts'
import { createRetryBudget, type RetryBudget } from './retry-budget.ts'
import { joinRead, type SharedRead, shareRead } from './shared-reads.ts'
import type { Rendered, View } from './views.ts'

/** An account as it stood when a request came in: a reload does not change it under the request. */
export type Account = {
  name: string
  /** Afilnet's user of the account. */
  user: string
}

/** What one request brings along for its call to Afilnet, and what is learnt of it for the log. */
export type CallContext = {
  caller: string
  account: Account
  /** Of the caller. Honoured by safe reads only. */
  departure: Departure
  /** Set as soon as a call that is not safe may leave. */
  unsafeBegun?: boolean
  upstreamMs?: number
  upstreamCode?: string
}

/** Makes one send; `late` hears how it ended if that is known only after the deadline. */
export type Delivery = {
  (late: (error?: unknown) => void): Promise<void>
  /**
   * Throws if the send could not leave now, so that it need not be written down.
   *
   * Not to be asked for a key that is taken: its answer stands, whatever Afilnet does.
   */
  admit?(): void
}

/** Afilnet as the routes see it. */
export type Upstream = {
  /** A read, as callers get it; identical safe ones at one time share one call. A caller of certain `chats` sees only channels of theirs. */
  read<O extends Operation>(operation: O, params: Params<O>, context: CallContext, chats?: readonly string[]): Promise<Rendered>
  /** A send, ready to leave: never shared, never cancelled by its caller, repeated only if nothing left. Throws if it cannot be written. */
  prepare<O extends Operation>(operation: O, params: Params<O>, context: CallContext): Delivery
  /** The account of that name, as it stands now. */
  open(account: string): Account
  state(): { sandbox: boolean; credentialsRejected: boolean }
  /** How each account stands, for the operator. */
  report(): AccountReport[]
  /** Takes over new secrets and addresses; calls under way end with the old ones. */
  reload(accounts: Record<string, AccountConfig>): void
  close(): Promise<void>
}

/** What is known of Afilnet by the calls of one account; never its user. */
export type AccountReport = {
  account: string
  lastAnswer?: { at: string; operation: string; code: string }
  /** `null` before an answer has told; `since` when it became so. */
  credentials: { accepted: boolean | null; since?: string }
  breakers: { operation: string; open: boolean }[]
  inFlight: number
  queued: number
  capacity: number
}

/** Runs one attempt at a call, and may see how it ends. */
export type Around = <T>(context: CallContext, operation: Operation, attempt: () => Promise<T>) => Promise<T>

type UpstreamOptions = {
  accounts: Record<string, AccountConfig>
  timeoutMs: number
  lateMs: number
  maxResponseBytes: number
  readCacheMs: number
  observe?: Observe
  around?: Around | undefined
}

type Budget = Pick<CallOptions, 'caller' | 'timeoutMs' | 'recheck' | 'begun'>

type OpenAccount = Account & {
  config: AccountConfig
  client: Client
  /** Answers for the whole account while Afilnet rejects its credentials, so that asking on does not lock it. */
  credentials: Breaker
  breakers: Map<string, Breaker>
  retries: RetryBudget
  reads: Map<string, SharedRead<Answer>>
  recent: RecentAnswers
  sendsAnswered: number
  sandboxed: boolean
  /** The code with which Afilnet last rejected the credentials; none with a bare HTTP 401. */
  rejectedWith: string | undefined
  lastAnswer: AccountReport['lastAnswer']
  accepted: AccountReport['credentials']
}

/** How long a request may take to arrive as a whole, and then some. */
const longestArrivalMs = 60_000

const counting = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable, failures.serverError])
const repeatableReads = new Set<unknown>([failures.connectionLost, failures.unreachable, failures.serverError])
const unanswered = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable])
const unasked = new Set<unknown>([failures.overloaded, failures.circuitOpen, failures.requestTooLong])

/** A caller that left, or a call that was never made, says nothing about Afilnet; any answer but a failing server's does. */
function verdictOnOperation(error: unknown): Verdict {
  if (!(error instanceof UpstreamError) || unasked.has(error.fault)) return 'nothing'
  return counting.has(error.fault) ? 'failed' : 'answered'
}

/** Only an answer in Afilnet's own words proves that it took the credentials. */
function verdictOnCredentials(error: unknown): Verdict {
  if (!(error instanceof UpstreamError)) return 'nothing'
  if (error.fault === faults.INCORRECT_USER_PASSWORD) return 'failed'
  return error.upstreamCode === undefined ? 'nothing' : 'answered'
}

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
  const accountOf = ({ account }: CallContext) => account as OpenAccount // only `open` makes them

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
      credentials: createBreaker({
        verdict: verdictOnCredentials,
        decides: atOnce(),
        firstProbeMs: 60_000,
        maxProbeMs: 900_000,
        againMs: 60_000, // its password may have been looked at all the same
        moved(open) {
          account.accepted = { accepted: !open, since: new Date().toISOString() }
          observe('credentialsMoved', { account: name, accepted: !open })
        },
      }),
      breakers: new Map(),
      retries: createRetryBudget(),
      reads: new Map(),
      recent: createRecentAnswers(readCacheMs),
      sendsAnswered: 0,
      sandboxed: false,
      rejectedWith: undefined,
      lastAnswer: undefined,
      accepted: { accepted: null },
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

  /** Throws if Afilnet is not to be asked now. */
  function admit(account: OpenAccount, operation: Operation) {
    if (account.credentials.closedForS() !== undefined) {
      observe('callRefused', { account: account.name, reason: 'credentials' })
      throw new UpstreamError(faults.INCORRECT_USER_PASSWORD, { safe: operation.safe, upstreamCode: account.rejectedWith })
    }
    const retryAfterS = breakerOf(account, operation).closedForS()
    if (retryAfterS === undefined) return
    observe('callRefused', { account: account.name, reason: 'circuit-open' })
    throw new UpstreamError(failures.circuitOpen, { safe: operation.safe, retryAfterS })
  }

  function breakerOf({ name, breakers }: OpenAccount, { method }: Operation) {
    const breaker =
      breakers.get(method) ??
      createBreaker({
        verdict: verdictOnOperation,
        decides: halfOfRecent({ windowMs: 10_000, minCalls: 20 }),
        firstProbeMs: 2_000,
        maxProbeMs: 30_000,
        againMs: 0,
        moved: open => observe('breakerMoved', { account: name, operation: method, open }),
      })
    breakers.set(method, breaker)
    return breaker
  }

  /** One call with its repetitions; how it ends as a whole is what the breakers hear. */
  async function ask<T>(
    context: CallContext,
    operation: Operation,
    departure: Departure | undefined,
    call: (budget: Budget) => Promise<T>,
  ): Promise<T> {
    const account = accountOf(context)
    admit(account, operation)
    try {
      return await account.credentials.run(() => breakerOf(account, operation).run(() => repeatedly(context, operation, departure, call)))
    } catch (error) {
      if (error instanceof UpstreamError && error.fault === faults.INCORRECT_USER_PASSWORD) account.rejectedWith = error.upstreamCode
      throw error
    }
  }

  /** Asks, and asks again within the same deadline where that is provably harmless. */
  async function repeatedly<T>(
    context: CallContext,
    operation: Operation,
    departure: Departure | undefined,
    call: (budget: Budget) => Promise<T>,
  ): Promise<T> {
    const account = accountOf(context)
    const deadline = performance.now() + timeoutMs
    // A probe is one call, and who began before the opening must not go on knocking.
    const heldBack = () => account.credentials.tripped() || breakerOf(account, operation).tripped()
    const probing = heldBack()
    const recheck = () => probing || admit(account, operation)
    account.retries.called()
    for (let attempt = 1; ; attempt++) {
      try {
        const once = (begun: () => void) => call({ caller: context.caller, timeoutMs: deadline - performance.now(), recheck, begun })
        return await around(context, operation, () => attempted(account, operation, once))
      } catch (error) {
        const pauseMs = (0.5 + Math.random()) * 50 * 4 ** (attempt - 1)
        const inTime = deadline - performance.now() > 2 * pauseMs
        if (attempt === 3 || !mayRepeat(operation, error) || !inTime || heldBack() || !account.retries.take()) throw error
        await pause(pauseMs, departure)
        if (heldBack()) throw error
      }
    }
  }

  /** One attempt, told of as it ends; from `begun` on it is a call. */
  async function attempted<T>(account: OpenAccount, { method: operation }: Operation, call: (begun: () => void) => Promise<T>): Promise<T> {
    const { name } = account
    let startedAt: number | undefined
    const ended = (fault?: Fault, upstreamCode?: string) => {
      observe('upstreamAnswered', { account: name, operation, ms: performance.now() - (startedAt ?? 0), fault, upstreamCode })
    }
    const answered = (code: string, error?: UpstreamError) => {
      account.lastAnswer = { at: new Date().toISOString(), operation, code }
      const accepted = !error || verdictOnCredentials(error) === 'answered'
      if (account.accepted.accepted === null && accepted) account.accepted = { accepted, since: account.lastAnswer.at }
    }
    try {
      const result = await call(() => {
        startedAt = performance.now()
      })
      ended()
      answered('ok')
      return result
    } catch (error) {
      if (!(error instanceof UpstreamError)) {
        if (startedAt !== undefined) observe('upstreamAbandoned', { account: name, operation })
      } else if (error.fault === failures.overloaded) observe('callRefused', { account: name, reason: 'overloaded' })
      else if (startedAt !== undefined) {
        ended(error.fault, error.upstreamCode)
        if (!unanswered.has(error.fault)) answered(error.upstreamCode ?? error.fault.code, error)
      }
      throw error
    }
  }

  /** The answer to a safe read: one that is fresh, one that is on its way, or a new one. */
  function answerOf<O extends Operation>(operation: O, params: Params<O>, key: string, context: CallContext, view: View): Promise<Answer> {
    const account = accountOf(context)
    // A read that begins after a send was answered must not be given an answer from before it.
    const since = `${account.sendsAnswered} ${key}`
    const fresh = account.recent.fresh(since)
    if (fresh) return Promise.resolve(fresh)
    const fetchAnswer = (budget: Budget, departure: Departure) =>
      fetched(account, operation, params, { ...budget, departure }, async bytes => {
        const answer = account.recent.same(key, bytes)
        await bodyOf(operation, answer, view) // what is no result must be known before anybody counts it as one
        account.recent.keepFresh(since, answer)
        return answer
      })
    const share = () =>
      joinRead(
        shareRead(account.reads, since, departure => ask(context, operation, departure, budget => fetchAnswer(budget, departure))),
        context.departure,
      )
    const begun = account.reads.get(since)
    if (!begun) return share()
    return joinRead(begun, context.departure).catch(error => {
      // That there was no place for another caller says nothing about this one.
      if (!(error instanceof UpstreamError) || error.fault !== failures.overloaded) throw error
      const other = account.reads.get(since)
      return other ? joinRead(other, context.departure) : share()
    })
  }

  /** What callers of that view get of an answer, made once. */
  const bodyOf = (operation: Operation, answer: Answer, view: View) =>
    renderer.render(operation, answer, view.chats === undefined ? '' : JSON.stringify(view.chats), view) // the time zone is the account's

  return {
    async read(operation, params, context, chats) {
      const account = accountOf(context)
      const view: View = { timezone: account.config.timezone, chats: operation.row?.includes('name') ? chats : undefined }
      if (!operation.safe) {
        context.unsafeBegun = true
        return observed(
          context,
          ask(context, operation, undefined, budget =>
            fetched(account, operation, params, budget, bytes => bodyOf(operation, newAnswer(bytes), view)),
          ),
        )
      }
      if (context.departure.reason) throw context.departure.reason
      const key = JSON.stringify([operation.method, params])
      const answer = await observed(context, answerOf(operation, params, key, context, view))
      return bodyOf(operation, answer, view)
    },
    prepare(operation, params, context) {
      const account = accountOf(context)
      const ready = account.client.prepare(operation, params)
      const deliver = async (late: (error?: unknown) => void) => {
        context.unsafeBegun = true
        try {
          await observed(
            context,
            ask(context, operation, undefined, budget => ready({ ...budget, late: answer => void answer.then(() => late(), late) })),
          )
        } finally {
          account.sendsAnswered++
        }
      }
      const admitNow = () => {
        admit(account, operation)
        try {
          account.client.admit(operation, context.caller)
        } catch (error) {
          observe('callRefused', { account: account.name, reason: 'overloaded' })
          throw error
        }
      }
      return Object.assign(deliver, { admit: admitNow })
    },
    open,
    state: () => ({
      sandbox: [...opened.values()].some(({ sandboxed }) => sandboxed),
      credentialsRejected: [...opened.values()].some(({ credentials }) => credentials.tripped()),
    }),
    report: () =>
      [...opened.values()].map(({ name, config, client, lastAnswer, accepted, breakers }) => ({
        account: name,
        ...(lastAnswer && { lastAnswer }),
        credentials: accepted,
        breakers: operations.map(({ method }) => ({ operation: method, open: breakers.get(method)?.tripped() ?? false })),
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

/** Lets time pass, unless nobody waits any more. */
function pause(ms: number, departure: Departure | undefined) {
  return new Promise<void>((resolve, reject) => {
    const stay = departure?.listen(() => {
      clearTimeout(timer)
      reject(departure.reason)
    })
    const timer = setTimeout(() => {
      stay?.()
      resolve()
    }, ms)
  })
}

/** Nothing left, or a read that can be asked again. */
function mayRepeat({ row, safe }: Operation, error: unknown) {
  if (!(error instanceof UpstreamError)) return false
  return safe ? repeatableReads.has(error.fault) : row === null && error.fault === failures.unreachable
}

/** Says what an error means to the caller; what is none of ours is a fault of ours, of unknown outcome. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (!(error instanceof UpstreamError)) return new Problem('internal-error', { outcome: 'unknown', cause: error })
  const { fault, outcome, upstreamCode, retryAfterS } = error
  const errors = fault.pointer === undefined ? undefined : [{ pointer: fault.pointer, detail: 'refused by Afilnet' }]
  return new Problem(fault.code as ProblemCode, { outcome, upstreamCode, retryAfterS, errors }) // a test holds faults to the catalogue
}

async function observed<T>(context: CallContext, call: Promise<T>): Promise<T> {
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
