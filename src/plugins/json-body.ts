import { isUtf8 } from 'node:buffer'
import { errorCodes, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { CollectedBytes } from '../lib/collected-bytes.ts'
import { findJsonIssue } from '../lib/json-issue.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'

type Done = (error: Error | null, value?: unknown) => void

/** Bodies are JSON in UTF-8 and nothing else; bytes that are not UTF-8 would arrive as other text. */
export const jsonBody = fp(async function jsonBody(app) {
  const limit = app.initialConfig.bodyLimit ?? 0
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addHttpMethod('DELETE', { hasBody: false, overrideExisting: true }) // a body means nothing there (RFC 9110), so none is read
  // Fastify would keep each chunk: 170 bytes for one, and a body may come in chunks of one byte.
  app.addContentTypeParser('application/json', (request, payload, done: Done) => {
    const body = new CollectedBytes()
    body.expectedSize = Number(request.headers['content-length'] ?? 0)
    if (body.expectedSize > limit) return done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE())
    const end: Done = (error, value) => {
      payload.off('data', onData).off('end', onEnd).off('error', end)
      done(error, value)
    }
    const onData = (chunk: Buffer) => {
      if (body.size + chunk.length > limit) end(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE())
      else body.append(chunk, limit)
    }
    const onEnd = () => parse(request, body.take(), end)
    payload.on('data', onData).on('end', onEnd).on('error', end)
  })

  function parse(request: FastifyRequest, body: Buffer, done: Done) {
    if (request.headers['content-encoding'] !== undefined) {
      return done(new Problem('unsupported-media-type', { detail: 'The body has a Content-Encoding; send it without one.' }))
    }
    if (body.length === 0) return done(invalidBody('', 'is empty; expected a JSON object'))
    if (!isUtf8(body)) return done(invalidBody('', 'is not UTF-8; encode it as UTF-8'))
    const text = body.toString('utf8')
    if (text.startsWith('\ufeff')) return done(invalidBody('', 'begins with a byte order mark; leave it out'))
    const found = findJsonIssue(text)
    if (found) return done(invalidBody('', `is not valid JSON: ${found.issue} (line ${found.line}, column ${found.column})`))
    parseJson(request, text, (error, value) => {
      done(error && invalidBody('', 'contains the key __proto__ or constructor.prototype, which is not allowed'), value)
    })
  }
})
