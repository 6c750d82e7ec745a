import { isUtf8 } from 'node:buffer'
import fp from 'fastify-plugin'
import { findJsonIssue } from '../lib/json-issue.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'

/** Bodies are JSON in UTF-8 and nothing else; bytes that are not UTF-8 would arrive as other text. */
export const jsonBody = fp(async function jsonBody(app) {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (request.headers['content-encoding'] !== undefined) {
      return done(new Problem('unsupported-media-type', { detail: 'The body has a Content-Encoding; send it without one.' }))
    }
    if (body.length === 0 && request.method === 'DELETE') return done(null) // many clients name a content type on every request
    if (body.length === 0) return done(invalidBody('', 'is empty; expected a JSON object'))
    if (!isUtf8(body)) return done(invalidBody('', 'is not UTF-8; encode it as UTF-8'))
    const text = body.toString('utf8')
    if (text.startsWith('\ufeff')) return done(invalidBody('', 'begins with a byte order mark; leave it out'))
    const found = findJsonIssue(text)
    if (found) return done(invalidBody('', `is not valid JSON: ${found.issue} (line ${found.line}, column ${found.column})`))
    parse(request, text, (error, value) => {
      done(error && invalidBody('', 'contains the key __proto__ or constructor.prototype, which is not allowed'), value)
    })
  })
})
