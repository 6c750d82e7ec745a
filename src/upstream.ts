import { createClient, createLargeAnswers } from './afilnet/client.ts'
import { instantOf } from './afilnet/datetime.ts'
import { UpstreamError } from './afilnet/faults.ts'
import type { Operation, Params, Row } from './afilnet/operations.ts'
import type { AccountConfig } from './config.ts'

/** What one request brings along for its call to Afilnet, and what is learnt of it for the log. */
export type CallContext = {
  account: string
  /** Aborted when the caller has gone. Honoured by safe reads only. */
  signal: AbortSignal
  /** Set as soon as a call that is not safe may leave. */
  unsafeBegun?: boolean
  upstreamMs?: number
  upstreamCode?: string
}

/** Afilnet as the routes see it. */
export type Upstream = {
  /** A read; identical safe ones at one time share one call. */
  read<O extends Operation>(operation: O, params: Params<O>, context: CallContext): Promise<Row<O>[]>
  /** A send: never shared, never repeated, never cancelled by its caller. */
  send<O extends Operation>(operation: O, params: Params<O>, context: CallContext): Promise<void>
  /** The instant of one of Afilnet's datetimes, in RFC 3339, if the account's time zone is configured. */
  timestamp(datetime: string | null, context: CallContext): string | undefined
  /** Whether an account's answers come from the sandbox. */
  sandboxed(account: string): boolean
  close(): Promise<void>
}

type UpstreamOptions = { accounts: Record<string, AccountConfig>; timeoutMs: number; maxResponseBytes: number }

/** Opens the pools of all accounts; nothing connects before the first call. */
export function createUpstream({ accounts, timeoutMs, maxResponseBytes }: UpstreamOptions): Upstream {
  const largeAnswers = createLargeAnswers()
  const opened = new Map(Object.entries(accounts).map(([name, config]) => [name, openAccount(config)]))
  const open = (name: string) => {
    const account = opened.get(name)
    if (!account) throw new Error('a caller names an account that is not configured')
    return account
  }

  function openAccount(config: AccountConfig) {
    const state = { sandboxed: false, sendsAnswered: 0, reads: new Map<string, SharedRead>(), timezone: config.timezone }
    const onSandbox = () => {
      state.sandboxed = true
    }
    return Object.assign(state, { client: createClient({ ...config, timeoutMs, maxResponseBytes, largeAnswers, onSandbox }) })
  }

  return {
    async read(operation, params, context) {
      const account = open(context.account)
      if (!operation.safe) {
        context.unsafeBegun = true
        return observed(context, account.client.call(operation, params))
      }
      context.signal.throwIfAborted()
      // A read that begins after a send was answered must not be given an answer from before it.
      const key = JSON.stringify([account.sendsAnswered, operation.method, params])
      const shared = account.reads.get(key) ?? shareRead(account.reads, key, signal => account.client.call(operation, params, signal))
      return observed(context, join(shared, context.signal)) as Promise<Row<typeof operation>[]> // the key names the operation
    },
    async send(operation, params, context) {
      const account = open(context.account)
      context.unsafeBegun = true
      try {
        await observed(context, account.client.call(operation, params))
      } finally {
        account.sendsAnswered++
      }
    },
    timestamp: (datetime, context) => instantOf(datetime, open(context.account).timezone),
    sandboxed: name => open(name).sandboxed,
    close: async () => {
      await Promise.all([...opened.values()].map(({ client }) => client.close()))
    },
  }
}

type SharedRead = { answer: Promise<unknown[]>; waiting: number; abort: AbortController }

function shareRead(reads: Map<string, SharedRead>, key: string, run: (signal: AbortSignal) => Promise<unknown[]>): SharedRead {
  const abort = new AbortController()
  const forget = () => reads.get(key) === shared && reads.delete(key)
  const answer = run(abort.signal).finally(forget)
  const shared: SharedRead = { answer, waiting: 0, abort }
  abort.signal.addEventListener('abort', forget)
  reads.set(key, shared)
  return shared
}

/** Waits for a shared answer with a signal not yet aborted; the last one to leave cancels the call. */
function join(shared: SharedRead, signal: AbortSignal): Promise<unknown[]> {
  shared.waiting++
  return new Promise((resolve, reject) => {
    const leave = () => {
      shared.waiting--
      if (shared.waiting === 0) shared.abort.abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    shared.answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
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
