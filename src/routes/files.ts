import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { sendFile } from '../afilnet/operations.ts'
import { isInternal } from '../lib/addresses.ts'
import { oneOf } from '../lib/string-enum.ts'
import { Problem } from '../problem/problem.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { chatOf } from './messages.ts'
import { ChatParams, text } from './params.ts'
import { ledgerErrors, postSend, reference, SendHeaders, type SendRoute } from './post-send.ts'
import { type Send, sendExample } from './sends.ts'

const url = (description: string, example: string) =>
  text({
    minLength: 1,
    maxLength: 2048,
    description: `${description}: an absolute http or https URL without credentials`,
    examples: [example],
  })

const FileBody = Type.Object(
  {
    type: oneOf(['image', 'video', 'audio', 'voice', 'document', 'contact'], { examples: ['image'] }),
    fileUrl: url('Where Afilnet fetches the file', 'https://example.com/menu.jpg'),
    thumbUrl: Type.Optional(url('Where Afilnet fetches its thumbnail', 'https://example.com/menu-small.jpg')),
    message: Type.Optional(text({ description: 'A text that goes with the file', examples: ['Our menu'] })),
    reference,
  },
  { additionalProperties: false, examples: [{ type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' }] },
)

export const files: FastifyPluginAsyncTypebox<{ upstream: Upstream; route: SendRoute }> = async (app, { upstream, route }) => {
  app.post(
    '/chats/:platform/:platformId/:destination/files',
    {
      config: { scope: 'files:send', operation: sendFile, errors: ledgerErrors },
      schema: {
        operationId: 'sendFile',
        summary: 'Send a file to a conversation',
        tags: ['Sends'],
        params: ChatParams,
        headers: SendHeaders,
        body: FileBody,
        response: {
          201: {
            description: 'Afilnet took it',
            content: { 'application/json': { schema: Type.Unsafe<Send>(Type.Ref('Send')), example: { ...sendExample, kind: 'file' } } },
          },
        },
      },
    },
    (request, reply) => {
      const { params, body, call } = request
      const { type, fileUrl, thumbUrl, message } = body
      requirePublicUrl('/fileUrl', fileUrl)
      if (thumbUrl !== undefined) requirePublicUrl('/thumbUrl', thumbUrl)

      const file = { ...chatOf(params), type, fileurl: fileUrl, thumburl: thumbUrl, message }
      return postSend('file', request, reply, upstream.prepareSend(sendFile, file, call), route)
    },
  )
}

/** Afilnet fetches the URL, byte for byte as given; what only a lenient parser would read is refused. */
function requirePublicUrl(pointer: string, value: string) {
  const blame = (detail: string) =>
    new Problem('invalid-request', { detail: `The body's ${pointer} ${detail}`, errors: [{ pointer, detail }] })
  const url = /^https?:\/\/[^\s\p{Cc}\\]+$/iu.test(value) ? URL.parse(value) : null
  if (!url) throw blame('must be an absolute http or https URL')
  if (url.username || url.password || /^[^/]*\/\/[^/?#]*@/.test(value)) throw blame('must not contain credentials')
  if (isInternal(url)) throw blame('must not point to a private or loopback address')
}
