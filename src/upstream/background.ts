import { hash } from 'node:crypto'
import type { Operation } from '../afilnet/operations.ts'
import type { WireRequest } from '../afilnet/transports.ts'
import { Cancellation } from '../lib/cancellation.ts'
import { YieldingSlots } from '../lib/yielding-slots.ts'
import type { Account, Listing } from './call.ts'
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
      mustYield: () => context.client.load().inFlight >= connections,
      patienceMs: context.policy.timeoutMs,
    })
  }

  async read<O extends Operation>(operation: O, request: WireRequest, view: ViewOptions, knownDigest?: string): Promise<Listing<O>> {
    await this.#slots.acquire()
    try {
      return await read(this.#context, { operation, request, view, knownDigest })
    } finally {
      this.#slots.release()
    }
  }
}

type ReadOptions<O> = { operation: O; request: WireRequest; view: ViewOptions; knownDigest: string | undefined }

function read<O extends Operation>(context: Context, { operation, request, view, knownDigest }: ReadOptions<O>): Promise<Listing<O>> {
  const { promise, resolve, reject } = Promise.withResolvers<Listing<O>>()
  const beganAt = Date.now()
  let listing: Listing<O> | undefined
  const task: Task = {
    operation,
    request,
    call: { caller, account: context, cancellation: new Cancellation() },
    parse(bytes, date) {
      const digest = hash('sha256', bytes, 'base64url')
      listing = { digest, beganAt, endedAt: Date.now(), date }
      if (digest === knownDigest) return
      const { items, skipped } = readList(operation, bytes, view)
      if (skipped > 0) context.reportSkipped(operation, skipped)
      listing.items = items as unknown as readonly never[] // they are those of the operation's kind
    },
    done(error) {
      if (listing && error === undefined) resolve(listing)
      else reject(error)
    },
  }
  new Execution(context, task).start()
  return promise
}
