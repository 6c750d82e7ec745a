import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { UpstreamError } from '../../afilnet/faults.ts'
import type { Operation, Row } from '../../afilnet/operations.ts'

/** A response as it was on the wire; `complete` once its last byte has arrived. */
export type RecordedResponse = { status: number; headers: IncomingHttpHeaders; chunks: Uint8Array[]; complete: boolean }

/** One call, the response on the wire, and what the gateway's own reader made of it. */
export type RecordedCall = {
  operation: Operation
  params: Record<string, string | undefined>
  check: string
  ms: number
  response?: RecordedResponse | undefined
  rows?: Row[]
  error?: UpstreamError
}

/** Records the response to each call of a client, until it is taken. */
export function createRecorder() {
  let response: RecordedResponse | undefined

  const watch: Dispatcher.DispatcherComposeInterceptor = dispatch => (options, handler) => {
    let own: RecordedResponse | undefined // the end of a call that was given up must not be recorded for the next one
    return dispatch(options, {
      // One by one: a handler may be an instance of a class, whose methods a spread leaves behind.
      onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
      onResponseStart(controller, status, headers, text) {
        if (status >= 200) response = own = { status, headers, chunks: [], complete: false }
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
    /** `unwrap` finds the envelope in what was recorded; what has none stays as it is. */
    take(unwrap?: (bytes: Buffer) => Buffer) {
      const taken = response
      response = undefined
      if (taken && unwrap) {
        try {
          taken.chunks = [unwrap(Buffer.concat(taken.chunks))]
        } catch {}
      }
      return taken
    },
  }
}
