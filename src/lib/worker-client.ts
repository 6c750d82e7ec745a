import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'

/**
 * What goes to a worker: `[about, name, arguments, name, arguments, …]`. What comes back: `[about, error, value, error, value, …]`, in the
 * same order. Flat arrays of plain values cost a fraction of what objects cost on their way through a thread boundary.
 */
export type Batch = unknown[]

/** A worker thread that runs calls by name. */
export type WorkerClient = {
  /** Rejects with what `errors` makes of the failure. `slow` calls may take as long as they like. */
  call(name: string, args: readonly unknown[], slow?: boolean): Promise<unknown>
  /** Ends the thread after the calls made so far, or after `closeMs`; later calls are refused. Resolves when the thread has ended. */
  close(): Promise<void>
}

export type WorkerClientOptions = {
  /** Starts the thread: with the first call, and again with the first call after its death. */
  start: () => Worker
  /** What every batch tells the worker. */
  about: () => unknown
  /** Receives what a batch of answers says beside them. */
  onReply: (about: unknown) => void
  /** The thread has not answered for `silentMs`, or is dead. Called once each time. */
  onLost: (why: 'silent' | 'dead') => void
  /** The error of a call that the worker refused, or that it cannot answer. */
  errors: { refused: (error: unknown) => Error; lost: (why: 'silent' | 'dead' | 'closed') => Error }
  silentMs: number
  /** The same for the first batch of a thread, which has to start first. */
  startMs: number
  closeMs: number
  /** The most calls of one batch. */
  batchMax: number
}

type WaitingCall = {
  name: string
  args: readonly unknown[]
  slow: boolean
  resolve: (value: unknown) => void
  reject: (error: Error) => void
}

/**
 * Sends calls to a worker thread in batches: the next batch leaves when the last one is answered, so that a slow disk makes batches larger
 * and not the queue of the thread longer.
 *
 * A thread that hangs (in a system call, say) cannot be ended, not even by `terminate`: every call is refused at once until it answers.
 */
export function createWorkerClient(options: WorkerClientOptions): WorkerClient {
  const { start, about, onReply, onLost, errors, silentMs, startMs, closeMs, batchMax } = options
  let queued: WaitingCall[] = []
  let sent: WaitingCall[] | undefined
  let worker: Worker | undefined
  let posting = false
  let silent = false
  let closing: Promise<void> | undefined
  let watchdog: NodeJS.Timeout | undefined

  function open() {
    const opened = start()
    opened.on('message', receive)
    opened.on('error', () => {}) // 'exit' follows
    opened.on('exit', () => {
      worker = undefined
      silent = false
      if (!closing) onLost('dead')
      refuseAll('dead')
      sent = undefined
    })
    return opened
  }

  function receive([said, ...answers]: Batch) {
    clearTimeout(watchdog)
    const waiters = sent ?? []
    sent = undefined
    silent = false
    onReply(said)
    for (const [n, { resolve, reject }] of waiters.entries()) {
      const error = answers[2 * n]
      if (error === null) resolve(answers[2 * n + 1])
      else reject(errors.refused(error))
    }
    post()
  }

  function post() {
    posting = false
    if (sent || queued.length === 0) return
    sent = queued.splice(0, batchMax)
    const batch: Batch = [about()]
    for (const { name, args } of sent) batch.push(name, args)
    const patienceMs = worker ? silentMs : startMs
    worker ??= open()
    worker.postMessage(batch)
    if (!sent.some(({ slow }) => slow)) watchdog = setTimeout(giveUp, patienceMs).unref()
  }

  function giveUp() {
    // Had the event loop been held up itself, the answer would lie there unread: look again after a turn.
    const late = sent
    setImmediate(() => {
      if (!sent || sent !== late) return
      silent = true
      onLost('silent')
      refuseAll('silent')
    })
  }

  function refuseAll(why: 'silent' | 'dead') {
    clearTimeout(watchdog)
    const refused = [...(sent ?? []), ...queued]
    if (sent) sent = [] // still busy: its answer comes, or its end
    queued = []
    for (const { reject } of refused) reject(errors.lost(why))
  }

  const client: WorkerClient = {
    call(name, args, slow = false) {
      if (closing) return Promise.reject(errors.lost('closed'))
      if (silent) return Promise.reject(errors.lost('silent'))
      return new Promise((resolve, reject) => {
        queued.push({ name, args, slow, resolve, reject })
        if (!sent && !posting) setImmediate(post)
        posting = true
      })
    },
    close() {
      const drained = worker || queued.length > 0 ? client.call('close', []).catch(() => {}) : Promise.resolve()
      closing ??= Promise.race([drained, sleep(closeMs, undefined, { ref: false })]).then(async () => {
        await worker?.terminate()
      })
      return closing
    },
  }
  return client
}
