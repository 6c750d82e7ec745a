import type { FastifyReply, FastifyRequest } from 'fastify'

/** Adds to the span of a request what is known at its end. */
export const describeSpan = (request: FastifyRequest, reply: FastifyReply) =>
  request.opentelemetry().span?.setAttributes({
    'error.type': reply.problemCode,
    'gateway.caller': request.caller?.name,
    'gateway.account': request.caller?.account,
  })

/** Ends the span of a stream, which no hook of the plugin sees. */
export function endOpenSpan(request: FastifyRequest, reply: FastifyReply) {
  const { span } = request.opentelemetry()
  if (!span?.isRecording()) return
  describeSpan(request, reply)
  span.setAttribute('http.response.status_code', reply.raw.statusCode).end()
}
