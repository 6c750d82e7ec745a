import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Form, FormParts, Upload } from '../media/form.ts'
import type { Media } from '../media/media.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'

declare module 'fastify' {
  interface FastifyRequest {
    form?: Form
  }
}

/** A form's texts and files, as its body. */
type FormBody = Record<string, string | Upload>

/** Has the routes of a scope also take forms, of these texts and files; what no route has stored is deleted with the first error. Each needs a body. */
export function acceptForms(app: FastifyInstance, media: Media, parts: FormParts) {
  app.addContentTypeParser('multipart/form-data', async (request: FastifyRequest, payload: FastifyRequest['raw']): Promise<FormBody> => {
    const { call, headers } = request
    if (headers['content-encoding'] !== undefined)
      throw new Problem('unsupported-media-type', { detail: 'The body has a Content-Encoding; send it without one.' })
    media.baseFor(call.account.isLocal)
    request.isUpload = true
    // Node does not tell a request that has been answered, since its bytes were not HTTP, of the end of its connection.
    const onClose = () => payload.destroy()
    payload.socket.setMaxListeners(0).once('close', onClose) // small forms may come many at a time
    const form = await media
      .readForm(payload, headers, call.caller, parts)
      .catch(error => {
        if (!payload.destroyed || payload.complete) throw error
        return new Promise<never>(() => {}) // no caller waits, and Fastify would complain of a second answer
      })
      .finally(() => payload.socket.off('close', onClose))
    request.form = form
    return { ...form.fields, ...form.files }
  })
  // Fastify chooses the schema by the type of the body, and so checks nothing where there is none.
  app.addHook('preValidation', async ({ body }) => {
    if (body === undefined) throw invalidBody('', 'is missing')
  })
  app.addHook('onError', async ({ form }, _, error) => form && media.formFailed(form, error))
}
