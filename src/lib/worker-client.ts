import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'

/**
 * What goes to a worker: `[about, name, arguments, name, arguments, …]`. What comes back: `[about, error, value, error, value, …]`, in the
 * same order. Flat arrays of plain values cost a fraction of what objects cost on their way through a thread boundary.
 */
export type Batch = unknown[]

type WorkerClientOptions = {
  /** Starts the thread: with the first call, and again with the first call after its death. */
  start: () => Worker
  /** What every batch tells the worker. */
  about: () => unknown
  /** Receives what a batch of answers says beside them. */
  onReply: (about: unknown) => void
  /** Receives what the worker says while it works: a text instead of a batch. */
  onNotice?: ((text: string) => void) | undefined
  /** The thread has not answered for `silentMs`, or is dead. Called once each time. */
  onLost: (why: 'silent' | 'dead') => void
  /** The error of a call that the worker refused, or that it cannot answer. */
  errors: { refused: (error: unknown) => Error; lost: (why: 'silent' | 'dead' | 'closed', wasSent: boolean) => Error }
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
 * Sends calls by name to a worker thread in batches: the next batch leaves when the last one is answered, so that a slow disk makes
 * batches larger and not the queue of the thread longer.
 *
 * A thread that hangs (in a system call, say) cannot be ended, not even by `terminate`: every call is refused at once until it answers.
 */
export class WorkerClient {
  readonly #options: WorkerClientOptions
  #queued: WaitingCall[] = []
  #sent: WaitingCall[] | undefined
  #worker: Worker | undefined
  #posting = false
  #silent = false
  #closing: Promise<void> | undefined
  #watchdog: NodeJS.Timeout | undefined

  constructor(options: WorkerClientOptions) {
    this.#options = options
  }

  /** Rejects with what `errors` makes of the failure. `slow` calls may take as long as they like. */
  call(name: string, args: readonly unknown[], slow = false): Promise<unknown> {
    const { errors } = this.#options
    if (this.#closing) return Promise.reject(errors.lost('closed', false))
    if (this.#silent) return Promise.reject(errors.lost('silent', false))
    return new Promise((resolve, reject) => {
      this.#queued.push({ name, args, slow, resolve, reject })
      if (!this.#sent && !this.#posting) setImmediate(() => this.#post())
      this.#posting = true
    })
  }

  /** Ends the thread after the calls made so far, or after `closeMs`; later calls are refused. Resolves when the thread has ended. */
  close(): Promise<void> {
    const drained = this.#worker || this.#queued.length > 0 ? this.call('close', []).catch(() => {}) : Promise.resolve()
    this.#closing ??= Promise.race([drained, sleep(this.#options.closeMs, undefined, { ref: false })]).then(async () => {
      await this.#worker?.terminate()
    })
    return this.#closing
  }

  #open() {
    const opened = this.#options.start()
    opened.on('message', (message: Batch | string) =>
      typeof message === 'string' ? this.#options.onNotice?.(message) : this.#receive(message),
    )
    opened.on('error', () => {}) // 'exit' follows
    opened.on('exit', () => {
      this.#worker = undefined
      this.#silent = false
      if (!this.#closing) this.#options.onLost('dead')
      this.#refuseAll('dead')
      this.#sent = undefined
    })
    return opened
  }

  #receive([about, ...answers]: Batch) {
    clearTimeout(this.#watchdog)
    const waiters = this.#sent ?? []
    this.#sent = undefined
    this.#silent = false
    this.#options.onReply(about)
    for (const [n, { resolve, reject }] of waiters.entries()) {
      const error = answers[2 * n]
      if (error === null) resolve(answers[2 * n + 1])
      else reject(this.#options.errors.refused(error))
    }
    this.#post()
  }

  #post() {
    this.#posting = false
    if (this.#sent || this.#queued.length === 0) return
    const { about, silentMs, startMs, batchMax } = this.#options
    this.#sent = this.#queued.splice(0, batchMax)
    const batch: Batch = [about()]
    for (const { name, args } of this.#sent) batch.push(name, args)
    const timeoutMs = this.#worker ? silentMs : startMs
    this.#worker ??= this.#open()
    this.#worker.postMessage(batch)
    if (!this.#sent.some(({ slow }) => slow)) this.#watchdog = setTimeout(() => this.#giveUp(), timeoutMs).unref()
  }

  #giveUp() {
    // Had the event loop been held up itself, the answer would lie there unread: look again after a turn.
    const late = this.#sent
    setImmediate(() => {
      if (!this.#sent || this.#sent !== late) return
      this.#silent = true
      this.#options.onLost('silent')
      this.#refuseAll('silent')
    })
  }

  #refuseAll(why: 'silent' | 'dead') {
    clearTimeout(this.#watchdog)
    const [sent = [], queued] = [this.#sent, this.#queued]
    if (this.#sent) this.#sent = [] // still busy: its answer comes, or its end
    this.#queued = []
    for (const { reject } of sent) reject(this.#options.errors.lost(why, true))
    for (const { reject } of queued) reject(this.#options.errors.lost(why, false))
  }
}
