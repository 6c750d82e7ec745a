import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { sendFile } from '../afilnet/operations.ts'
import { isInternal } from '../lib/addresses.ts'
import { oneOf } from '../lib/string-enum.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { chatOf } from './messages.ts'
import { ChatParams, text } from './params.ts'
import { ledgerErrors, postSend, reference, SendHeaders, type SendRoute, sendDescription } from './post-send.ts'
import { type Send, sendExample } from './sends.ts'

const url = (description: string, example: string) =>
  text({
    minLength: 1,
    maxLength: 8192,
    description: `${description}: an absolute http or https URL without credentials`,
    examples: [example],
  })

/** The body of a file to send. */
export type NewFile = Static<typeof NewFile>
export const NewFile = Type.Object(
  {
    type: oneOf(['image', 'video', 'audio', 'voice', 'document', 'contact'], { examples: ['image'] }),
    fileUrl: url('Where Afilnet fetches the file', 'https://example.com/menu.jpg'),
    thumbUrl: Type.Optional(url('Where Afilnet fetches its thumbnail', 'https://example.com/menu-small.jpg')),
    message: Type.Optional(text({ description: 'A text that goes with the file', examples: ['Our menu'] })),
    reference,
  },
  {
    $id: 'NewFile',
    additionalProperties: false,
    examples: [{ type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' }],
  },
)

export const files: FastifyPluginAsyncTypebox<{ upstream: Upstream; route: SendRoute }> = async (app, { upstream, route }) => {
  app.post(
    '/chats/:platform/:platformId/:destination/files',
    {
      config: { scope: 'files:send', operation: sendFile, errors: ledgerErrors },
      schema: {
        operationId: 'sendFile',
        summary: 'Send a file to a conversation',
        description: sendDescription('a file, which Afilnet fetches from its URL,'),
        tags: ['Sends'],
        params: ChatParams,
        headers: SendHeaders,
        body: Type.Unsafe<NewFile>(Type.Ref('NewFile')),
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
  const issue = urlIssue(value)
  if (issue !== undefined) throw invalidBody(pointer, issue)
}

function urlIssue(value: string): string | undefined {
  const odd = /[\s\p{Cc}\\]/u.exec(value)
  if (odd) {
    const what = odd[0] === ' ' ? 'a blank' : odd[0] === '\\' ? 'a backslash' : 'a control character or line break'
    return `contains ${what} at position ${odd.index + 1}; percent-encode it`
  }
  const scheme = /^([a-z][a-z0-9+.-]{0,19}):/i.exec(value)?.[1]
  if (scheme === undefined) return 'is not an absolute URL; it begins with http:// or https://'
  if (!/^https?$/i.test(scheme)) return `has the scheme ${scheme}; only http and https are allowed`
  const url = /^[^:]*:\/\/[^/?#]/.test(value) ? URL.parse(value) : null
  if (!url) return 'is not a URL with a valid host, such as https://example.com/menu.jpg'
  if (url.username || url.password || /^[^/]*\/\/[^/?#]*@/.test(value)) return 'contains credentials before the host; remove them'
  return isInternal(url) ? 'points to a private or loopback address, which Afilnet cannot reach; use a public one' : undefined
}
