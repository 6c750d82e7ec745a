import { Worker } from 'node:worker_threads'
import { type Fault, failures, faults, UpstreamError } from './afilnet/faults.ts'
import type { Operation } from './afilnet/operations.ts'
import type { Answered, Order } from './renderer-worker.ts'
import { type Rendered, render, type View } from './views.ts'

/** Turns answers into bodies, large ones without holding up everybody else. */
export type Renderer = {
  render(operation: Operation, bytes: Uint8Array, view: View): Rendered | Promise<Rendered>
  close(): Promise<void>
}

/** From here on an answer costs more than some milliseconds of parsing, and less to hand to a thread. */
const largeBytes = 131_072

type Waiter = { operation: Operation; resolve: (rendered: Rendered) => void; reject: (error: Error) => void }

/** The thread starts with the first large answer, and again after its death. */
export function createRenderer(): Renderer {
  const waiting = new Map<number, Waiter>()
  let worker: Worker | undefined
  let seq = 0

  function start() {
    const started = new Worker(new URL('./renderer-worker.ts', import.meta.url), { env: {}, name: 'renderer' })
    started.unref()
    started.on('message', ({ seq, ...answered }: Answered) => {
      const waiter = waiting.get(seq)
      waiting.delete(seq)
      if ('rendered' in answered) waiter?.resolve(answered.rendered)
      else waiter?.reject(refusalOf(answered, waiter.operation))
    })
    started.on('error', () => {}) // it is told by its end
    started.on('exit', () => {
      worker = undefined
      const lost = [...waiting.values()]
      waiting.clear()
      for (const { operation, reject } of lost) reject(new UpstreamError(failures.responseTooLarge, operation)) // for the memory of a thread
    })
    return started
  }

  return {
    render(operation, bytes, view) {
      if (bytes.length < largeBytes) return render(operation, bytes, view)
      const order: Order = { seq: ++seq, operation, bytes, view }
      worker ??= start()
      worker.postMessage(order)
      return new Promise((resolve, reject) => waiting.set(order.seq, { operation, resolve, reject }))
    },
    async close() {
      await worker?.terminate()
    },
  }
}

/** A fault is known by which row of the tables it is, so it comes back by name. */
function refusalOf({ fault, upstreamCode }: Omit<Extract<Answered, { fault: string }>, 'seq'>, { safe }: Operation) {
  const rows: Record<string, Fault> = { ...failures, ...faults }
  return new UpstreamError(rows[fault] ?? failures.invalidResponse, { safe, upstreamCode })
}
