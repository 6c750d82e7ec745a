import { type MessagePort, parentPort } from 'node:worker_threads'
import { failures, faults, UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import { type Rendered, render, type View } from './list-body.ts'

/** An answer on its way in. */
export type Order = { seq: number; operation: Operation; bytes: Uint8Array; view: View }

/** A finished body, or the name of the fault in the tables of `faults.ts`; with the bytes that came in. */
export type Answered = { seq: number; bytes: Uint8Array } & ({ rendered: Rendered } | { fault: string; upstreamCode: string | undefined })

const port = parentPort as MessagePort // this file runs as a worker only

port.on('message', ({ seq, operation, bytes, view }: Order) => {
  try {
    const { body, etag } = render(operation, bytes, view)
    const own = new Uint8Array(body) // not a part of a pool, so that it can be handed over
    reply({ seq, bytes, rendered: { body: own, etag } }, own)
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const [fault = ''] = Object.entries({ ...failures, ...faults }).find(([, row]) => row === error.fault) ?? []
    reply({ seq, bytes, fault, upstreamCode: error.upstreamCode })
  }
})

function reply(answered: Answered, ...more: Uint8Array<ArrayBuffer>[]) {
  const buffers = [answered.bytes, ...more].map(({ buffer }) => buffer)
  port.postMessage(
    answered,
    buffers.filter(buffer => buffer instanceof ArrayBuffer),
  )
}
