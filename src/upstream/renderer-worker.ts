import { type MessagePort, parentPort } from 'node:worker_threads'
import { failures, faults, UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import { type Body, render, type ViewOptions } from './list-body.ts'

/** An answer on its way in. */
export type Order = { seq: number; operation: Operation; bytes: Uint8Array; view: ViewOptions }

/** An `UpstreamError` that can be cloned: its fault by its name in the tables of `faults.ts`. */
export type Failed = { fault: string } & Pick<UpstreamError, 'upstreamCode' | 'unreadable' | 'foreignField'>

/** A finished body or an error; with the bytes that came in. */
export type Answered = { seq: number; bytes: Uint8Array } & ({ body: Body } | { error: Failed })

const port = parentPort as MessagePort // this file runs as a worker only

port.on('message', ({ seq, operation, bytes, view }: Order) => {
  try {
    const rendered = render(operation, bytes, view)
    const own = new Uint8Array(rendered.body) // not a part of a pool, so that it can be handed over
    reply({ seq, bytes, body: { ...rendered, body: own } }, own)
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const [fault = ''] = Object.entries({ ...failures, ...faults }).find(([, row]) => row === error.fault) ?? []
    const { upstreamCode, unreadable, foreignField } = error
    reply({ seq, bytes, error: { fault, upstreamCode, unreadable, foreignField } })
  }
})

function reply(answered: Answered, ...more: Uint8Array<ArrayBuffer>[]) {
  const buffers = [answered.bytes, ...more].map(({ buffer }) => buffer)
  port.postMessage(
    answered,
    buffers.filter(buffer => buffer instanceof ArrayBuffer),
  )
}
