import { type MessagePort, parentPort } from 'node:worker_threads'
import { failures, faults, UpstreamError } from './afilnet/faults.ts'
import type { Operation } from './afilnet/operations.ts'
import { type Rendered, render, type View } from './views.ts'

/** An answer on its way in. */
export type Order = { seq: number; operation: Operation; bytes: Uint8Array; view: View }

/** A finished body, or the name of the fault in the tables of `faults.ts`. */
export type Answered = { seq: number; rendered: Rendered } | { seq: number; fault: string; upstreamCode: string | undefined }

const port = parentPort as MessagePort // this file runs as a worker only

port.on('message', ({ seq, operation, bytes, view }: Order) => {
  try {
    const { body, etag } = render(operation, bytes, view)
    const own = new Uint8Array(body) // not a part of a pool, so that it can be handed over
    port.postMessage({ seq, rendered: { body: own, etag } } satisfies Answered, [own.buffer])
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const [fault = ''] = Object.entries({ ...failures, ...faults }).find(([, row]) => row === error.fault) ?? []
    port.postMessage({ seq, fault, upstreamCode: error.upstreamCode } satisfies Answered)
  }
})
