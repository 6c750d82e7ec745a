import { allows } from '../access.ts'
import { sendFile, sendMessage } from '../afilnet/operations.ts'
import type { CallerConfig } from '../config/accounts.ts'
import type { Observe } from '../events.ts'
import { Cancellation } from '../lib/cancellation.ts'
import { repeat } from '../lib/repeat.ts'
import type { SendAttempt } from '../sends/attempt.ts'
import type { Sends } from '../sends/sends.ts'
import type { Backlog, SendRow, Store } from '../store/store.ts'
import type { Upstream } from '../upstream/upstream.ts'

type Callers = Readonly<Record<string, CallerConfig>>

type QueueParts = {
  keys: readonly string[]
  store: Store
  sends: Sends
  upstream: Upstream
  callers: Callers
  observe: Observe
  timeoutMs: number
}

const backlogMs = 5_000
const operations = { message: [sendMessage, 'messages:send'], file: [sendFile, 'files:send'] } as const

export type Queue = Awaited<ReturnType<typeof connectQueue>>

/** Connects the queue with the ledger, the sends and Afilnet; its room is loaded only where there is a key. */
export async function connectQueue({ keys, store, sends, upstream, callers, observe, timeoutMs }: QueueParts) {
  const { createSealer } = await import('../queue/seal.ts')
  const { QueueWorker } = await import('../queue/worker.ts')
  const sealer = createSealer(keys.map(key => Buffer.from(key, 'base64')))
  let backlog: Backlog = { waiting: 0, held: 0 }
  let stopCounting = () => {}
  let configuredAt = Date.now()

  /**
   * The attempt of a send as its caller and account are configured now.
   *
   * A gateway that took a send after this one was configured may know more of the caller: the send is left to it.
   */
  function prepare(row: SendRow, params: Record<string, string>): SendAttempt | 'insufficient-scope' | 'leave' {
    const { kind, platform, platformId, destination } = row
    const [operation, scope] = operations[kind]
    const caller = callers[row.caller]
    const may = caller && !caller.disabled && caller.account === row.account && caller.scopes.includes(scope)
    if (!may || !allows(caller.chats, platform, platformId, destination))
      return row.createdAt > configuredAt ? 'leave' : 'insufficient-scope'
    const account = upstream.open(row.account)
    const call = { caller: row.caller, account, cancellation: new Cancellation(), expiresAt: row.expiresAt }
    return account.prepareSend<typeof sendMessage | typeof sendFile>(operation, params as never, call) // as the route has sealed them
  }

  const worker = new QueueWorker({
    store,
    sealer,
    sends: sends.queue,
    prepare,
    onKeysLost: count => observe('queueKeysLost', { count }),
    onExpired: sends => {
      for (const { account, kind } of sends) observe('sendSettled', { account, kind, state: 'expired' })
    },
    timeoutMs,
  })
  sends.queue.onQueued = () => worker.wake()

  return {
    seal: sealer.seal,
    backlog: () => backlog,
    start() {
      worker.wake()
      stopCounting = repeat(backlogMs, async () => {
        backlog = await store.backlog()
      })
    },
    stop() {
      stopCounting()
      return worker.stop()
    },
    /** Goes by other callers from now on. */
    useCallers(next: Callers) {
      callers = next
      configuredAt = Date.now()
    },
  }
}

/** A gateway without any key cannot send what another one has queued: it says so instead of leaving it there for ever. */
export async function endQueueWithoutKey({ store, sends, observe, timeoutMs }: Omit<QueueParts, 'keys' | 'upstream' | 'callers'>) {
  const { waiting, held } = await store.backlog()
  if (waiting + held === 0) return
  const { endLostSends } = await import('../queue/worker.ts')
  const count = await endLostSends({ store, sends: sends.queue, keys: [], timeoutMs })
  if (count > 0) observe('queueKeysLost', { count })
}
