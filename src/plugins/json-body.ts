import { isUtf8 } from 'node:buffer'
import fp from 'fastify-plugin'
import { hasDuplicateKeys } from '../lib/duplicate-keys.ts'
import { Problem } from '../problem/problem.ts'

/** Bodies are JSON in UTF-8 and nothing else; bytes that are not UTF-8 would arrive as other text. */
export const jsonBody = fp(async function jsonBody(app) {
  const parse = app.getDefaultJsonParser('error', 'error')
  const refused = (detail: string) => new Problem('invalid-request', { detail })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (request.headers['content-encoding'] !== undefined)
      return done(new Problem('unsupported-media-type', { detail: 'The body must not be encoded' }))
    if (!isUtf8(body)) return done(refused('The body is not UTF-8'))
    const text = body.toString('utf8')
    if (text.startsWith('\ufeff')) return done(refused('The body begins with a byte order mark'))
    parse(request, text, (error, value) => {
      if (error) return done(refused('The body is not valid JSON'))
      if (hasDuplicateKeys(text)) return done(refused('The body names a member twice'))
      done(null, value)
    })
  })
})
