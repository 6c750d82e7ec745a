import { Worker } from 'node:worker_threads'
import { type Fault, failures, faults, UpstreamError } from '../afilnet/faults.ts'
import type { Operation } from '../afilnet/operations.ts'
import { type Body, cacheKey, render, type ViewOptions } from './list-body.ts'
import type { Answered, Failed, Order } from './renderer-worker.ts'
import type { Answer } from './response-cache.ts'

/** Turns answers into bodies, large ones without holding up everybody else. */
export type Renderer = {
  /** Makes a body of an answer, and keeps it there. */
  render(operation: Operation, answer: Answer, view: ViewOptions): Body | Promise<Body>
  close(): Promise<void>
}

/** From here on an answer costs more than some milliseconds of parsing, and less to hand to a thread. */
const largeBytes = 131_072

type Waiter = { operation: Operation; answer: Answer; resolve: (body: Body) => void; reject: (error: Error) => void }

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
      if (!waiter) return
      waiter.answer.bytes = answered.bytes
      if ('body' in answered) waiter.resolve(answered.body)
      else waiter.reject(errorOf(answered.error, waiter.operation))
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

  /** The bytes go over and come back, so that they are never there twice. */
  function handOver(operation: Operation, answer: Answer, view: ViewOptions) {
    const { bytes } = answer
    const order: Order = { seq: ++seq, operation, bytes, view }
    worker ??= start()
    worker.postMessage(order, bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [])
    return new Promise<Body>((resolve, reject) => waiting.set(order.seq, { operation, answer, resolve, reject }))
  }

  return {
    render(operation, answer, view) {
      const look = cacheKey(operation, view)
      const made = answer.bodies.get(look)
      if (made) return made
      const keep = (body: Body) => {
        answer.bodies.set(look, body)
        return body
      }
      if (answer.bytes.length > 0 && answer.bytes.length < largeBytes) return keep(render(operation, answer.bytes, view))
      const making = answer.turn.then(async () => answer.bodies.get(look) ?? keep(await handOver(operation, answer, view)))
      answer.turn = making.catch(() => {})
      return making
    },
    async close() {
      await worker?.terminate()
    },
  }
}

/** A fault is known by which row of the tables it is, so it comes back by name. */
function errorOf({ fault, ...evidence }: Failed, { safe }: Operation) {
  const rows: Record<string, Fault> = { ...failures, ...faults }
  return new UpstreamError(rows[fault] ?? failures.invalidResponse, { safe, ...evidence })
}
