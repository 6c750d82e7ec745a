import { hash } from 'node:crypto'
import type { Operation } from '../afilnet/operations.ts'
import type { WireRequest } from '../afilnet/transports.ts'
import { Cancellation } from '../lib/cancellation.ts'
import { YieldingSlots } from '../lib/yielding-slots.ts'
import type { Account, Call, Listing } from './call.ts'
import { Execution, type Task } from './execution.ts'
import { readList, type ViewOptions } from './list-body.ts'
import type { TaskContext } from './tasks.ts'

/** The account that is read. */
type Context = TaskContext & Account

/** Named like no caller may be; in traces and in the fair queue. */
const caller = '(background)'

/** Reads that no caller waits for: a quarter of the connections at most, behind callers, never shared and never from the cache. */
export class BackgroundReads {
  readonly #context: Context
  readonly #slots: YieldingSlots

  constructor(context: Context, connections: number) {
    this.#context = context
    this.#slots = new YieldingSlots({
      limit: Math.max(1, Math.floor(connections / 4)),
      mustYield() {
        const { inFlight, queued } = context.client.load()
        return queued > 0 || inFlight >= connections
      },
      patienceMs: context.policy.timeoutMs,
    })
  }

  async read<O extends Operation>(operation: O, request: WireRequest, view: ViewOptions, knownDigest?: string): Promise<Listing<O>> {
    await this.#slots.acquire()
    try {
      return await new BackgroundRead<O>(this.#context, { operation, request, view, knownDigest }).run()
    } finally {
      this.#slots.release()
    }
  }
}

type ReadOptions<O> = { operation: O; request: WireRequest; view: ViewOptions; knownDigest: string | undefined }

class BackgroundRead<O extends Operation> implements Task {
  readonly operation: O
  readonly request: WireRequest
  readonly call: Call
  readonly #context: Context
  readonly #view: ViewOptions
  readonly #knownDigest: string | undefined
  readonly #beganAt = Date.now()
  readonly #result = Promise.withResolvers<Listing<O>>()
  #listing: Listing<O> | undefined = undefined

  constructor(context: Context, { operation, request, view, knownDigest }: ReadOptions<O>) {
    this.operation = operation
    this.request = request
    this.call = { caller, account: context, cancellation: new Cancellation() }
    this.#context = context
    this.#view = view
    this.#knownDigest = knownDigest
  }

  run(): Promise<Listing<O>> {
    new Execution(this.#context, this).start()
    return this.#result.promise
  }

  parse(bytes: Buffer, date?: string) {
    const digest = hash('sha256', bytes, 'base64url')
    const times = { digest, beganAt: this.#beganAt, endedAt: Date.now(), date }
    if (digest === this.#knownDigest) {
      this.#listing = times
      return
    }
    const { items, skipped } = readList(this.operation, bytes, this.#view)
    if (skipped > 0) this.#context.reportSkipped(this.operation, skipped)
    this.#listing = { ...times, items: items as unknown as readonly never[] } // they are those of the operation's kind
  }

  done(error?: unknown) {
    if (this.#listing && error === undefined) this.#result.resolve(this.#listing)
    else this.#result.reject(error)
  }
}
