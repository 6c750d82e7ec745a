import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { UpstreamError } from '../../afilnet/faults.ts'
import type { Operation, Row } from '../../afilnet/operations.ts'

/** An answer as it was on the wire; `complete` once its last byte had come. */
export type Answer = { status: number; headers: IncomingHttpHeaders; chunks: Uint8Array[]; complete: boolean }

/** One call, what came back on the wire, and what the gateway's own reader made of it. */
export type Asked = { operation: Operation; check: string; ms: number; answer?: Answer | undefined; rows?: Row[]; error?: UpstreamError }

/** Records the answer to each call that passes through a client, until it is taken. */
export function createTape() {
  let answer: Answer | undefined

  const watch: Dispatcher.DispatcherComposeInterceptor = dispatch => (options, handler) => {
    let own: Answer | undefined // of this call: the end of one that was given up must not reach the next
    return dispatch(options, {
      ...handler,
      onResponseStart(controller, status, headers, text) {
        if (status >= 200) answer = own = { status, headers, chunks: [], complete: false }
        handler.onResponseStart?.(controller, status, headers, text)
      },
      onResponseData(controller, chunk) {
        own?.chunks.push(chunk)
        handler.onResponseData?.(controller, chunk)
      },
      onResponseEnd(controller, trailers) {
        if (own) own.complete = true
        handler.onResponseEnd?.(controller, trailers)
      },
    })
  }

  return {
    watch,
    take() {
      const taken = answer
      answer = undefined
      return taken
    },
  }
}
