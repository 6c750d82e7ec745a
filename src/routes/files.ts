import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ownerOf } from '../access.ts'
import { sendFile } from '../afilnet/operations.ts'
import { isInternal } from '../lib/addresses.ts'
import { oneOf } from '../lib/string-enum.ts'
import { type MediaType, mediaTypes } from '../media/content.ts'
import type { Media } from '../media/media.ts'
import { urlOf } from '../media/url.ts'
import { invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import { refused } from '../sends/attempt.ts'
import { newSendId } from '../sends/request.ts'
import type { MediaRow } from '../store/media.ts'
import { acceptForms } from './forms.ts'
import { filePart, typeFor } from './media.ts'
import { chatOf } from './messages.ts'
import { ChatParams, ref, text } from './params.ts'
import { ledgerErrors, postSend, reference, SendHeaders, type SendRoute, sendAnswers, sendDescription } from './post-send.ts'
import { queueFields } from './queueing.ts'
import { sendExample } from './send-schemas.ts'

const url = (description: string, example: string) =>
  text({
    minLength: 1,
    maxLength: 8192,
    description: `${description}: an http or https URL without credentials`,
    examples: [example],
  })

/** The body of a file to send. */
export type NewFile = Static<typeof NewFile>
export const NewFile = Type.Object(
  {
    type: oneOf(mediaTypes, { examples: ['image'] }),
    fileUrl: url('Where Afilnet fetches the file', 'https://example.com/menu.jpg'),
    thumbUrl: Type.Optional(url('Where Afilnet fetches its thumbnail', 'https://example.com/menu-small.jpg')),
    message: Type.Optional(text({ description: 'A text that goes with the file', examples: ['Our menu'] })),
    reference,
    ...queueFields,
  },
  {
    $id: 'NewFile',
    additionalProperties: false,
    examples: [{ type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' }],
  },
)

/** The same as a form, with the file itself. */
export type NewFileForm = Static<typeof NewFileForm>
export const NewFileForm = Type.Object(
  {
    type: Type.Optional(oneOf(mediaTypes, { description: 'Default: by its content' })),
    message: NewFile.properties.message,
    reference,
    file: filePart('At most MEDIA_MAX_BYTES'),
    thumb: Type.Optional(filePart('An image')),
  },
  { $id: 'NewFileForm', additionalProperties: false, examples: [{ file: '…', message: 'Our menu' }] },
)

const mediaErrors = ['file-type-mismatch', 'media-not-found', 'media-full', 'media-not-public'] as const

type FileRequest = FastifyRequest<{ Params: ChatParams; Headers: Static<typeof SendHeaders> }>
type FilesOptions = { route: SendRoute; media: Media }

export const files: FastifyPluginAsyncTypebox<FilesOptions> = async (app, options) => {
  acceptForms(app, options.media, { fields: ['type', 'message', 'reference'], files: ['file', 'thumb'] })
  app.post(
    '/chats/:platform/:platformId/:destination/files',
    {
      config: { scope: 'files:send', operation: sendFile, errors: [...ledgerErrors, ...mediaErrors] },
      schema: {
        operationId: 'sendFile',
        summary: 'Send a file to a conversation',
        description: sendDescription('a file, which Afilnet fetches from its URL, or a file of yours as multipart/form-data,'),
        tags: ['Sends'],
        params: ChatParams,
        headers: SendHeaders,
        body: {
          content: {
            'application/json': { schema: ref(NewFile) },
            'multipart/form-data': { schema: ref(NewFileForm) },
          },
        },
        response: sendAnswers({ ...sendExample, kind: 'file' }),
      },
    },
    (request, reply) => {
      const { body } = request as { body: unknown } // each content type has its schema
      return request.form ? sendForm(request, reply, body as NewFileForm, options) : sendByUrl(request, reply, body as NewFile, options)
    },
  )
}

async function sendByUrl(request: FileRequest, reply: FastifyReply, body: NewFile, { route, media }: FilesOptions) {
  const { params, call } = request
  const { type, fileUrl, thumbUrl, message } = body
  const found = [
    await requireFile('/fileUrl', fileUrl, type, request, media),
    thumbUrl === undefined ? undefined : await requireFile('/thumbUrl', thumbUrl, 'image', request, media),
  ]
  const refusal = found.find(file => file instanceof Problem)
  const stored = found.filter((file): file is MediaRow => file !== undefined && !(file instanceof Problem))

  const file = { ...chatOf(params), type, fileurl: fileUrl, thumburl: thumbUrl, message }
  const attempt = refusal ? refused(refusal) : call.account.prepareSend(sendFile, file, call)
  const prepared = { attempt, refusal, params: file, body, keepUntil: (endsAt: number) => media.keepForSend(stored, endsAt) }
  return postSend('file', request, reply, prepared, route)
}

/** Stores the files first, so that Afilnet can fetch them; what is not sent is deleted again. */
async function sendForm(request: FileRequest, reply: FastifyReply, body: NewFileForm, { route, media }: FilesOptions) {
  const { params, caller, call, form } = request
  const { file, thumb, message, reference } = body
  const base = media.baseFor(call.account.isLocal)
  const type = typeFor('/file', body.type, file.contentType)
  const uploads = [{ type, upload: file }, ...(thumb ? [{ type: typeFor('/thumb', 'image', thumb.contentType), upload: thumb }] : [])]
  const id = newSendId()
  let refusal: Problem | undefined
  const rows = await media.keep(ownerOf(caller), uploads, { ...params, sendId: id }).catch((error): MediaRow[] => {
    if (!(error instanceof Problem)) throw error
    refusal = error // a repetition needs no file
    return []
  })
  await form?.discard()
  const [main, small] = rows
  let isNeeded = false
  try {
    const urls = { fileurl: main && urlOf(base, main), thumburl: small && urlOf(base, small) }
    const sent = { ...chatOf(params), type, ...urls, fileurl: urls.fileurl ?? '', message }
    const attempt = refusal ? refused(refusal) : call.account.prepareSend(sendFile, sent, call)
    // Neither the name nor the URL tells whether a request is repeated: only the bytes do.
    const same = defined({ type, file: file.sha256, thumb: thumb?.sha256, message, reference })
    const keepUntil = (endsAt: number) => media.keepForSend(rows, endsAt)
    const send = await postSend('file', request, reply, { id, attempt, refusal, params: sent, body: same, keepUntil }, route)
    isNeeded = !reply.hasHeader('idempotency-replayed')
    return send
  } catch (error) {
    isNeeded = mayBeFetched(error)
    throw error
  } finally {
    if (!isNeeded) await media.discard(rows)
  }
}

/** Whether Afilnet may have taken the send that this request has made, and may still fetch its file. */
function mayBeFetched(error: unknown) {
  if (!(error instanceof Problem)) return false
  const { outcome, code, details } = error
  const isOther = code === 'idempotency-key-in-use' || details.headers?.['idempotency-replayed'] !== undefined
  return !isOther && (details.recorded?.outcome ?? outcome) === 'unknown'
}

const defined = <T extends object>(members: T) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as { [K in keyof T]: NonNullable<T[K]> }

/** A file of this gateway must be the caller's own and fit its type; any other URL must be public. Returns the problem of a file that is not there. */
async function requireFile(pointer: string, url: string, type: MediaType, request: FileRequest, media: Media) {
  let row: MediaRow | undefined
  try {
    row = await media.fileAt(url, ownerOf(request.caller))
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'media-not-found') throw error
    const detail = 'is not a file of yours, or has expired'
    return new Problem('media-not-found', { status: 422, detail: `In the body, ${pointer} ${detail}.`, errors: [{ pointer, detail }] })
  }
  if (row) typeFor(pointer, type, row.contentType)
  const issue = row ? undefined : urlIssue(url)
  if (issue !== undefined) throw invalidBody(pointer, issue)
  return row
}

/** Why Afilnet cannot fetch a URL, byte for byte as given; what only a lenient parser would read is refused. */
function urlIssue(value: string): string | undefined {
  const odd = /[\s\p{Cc}\\]/u.exec(value)
  if (odd) {
    const what = /\p{Zs}/u.test(odd[0]) ? 'a blank' : odd[0] === '\\' ? 'a backslash' : 'a control character or line break'
    return `contains ${what} at position ${[...value.slice(0, odd.index)].length + 1}; percent-encode it`
  }
  const scheme = /^([a-z][a-z0-9+.-]{0,19}):/i.exec(value)?.[1]
  if (scheme === undefined) return 'is not an absolute URL; it begins with http:// or https://'
  if (!/^https?$/i.test(scheme)) return `has the scheme ${scheme}; only http and https are allowed`
  const url = /^[^:]*:\/\/[^/?#]/.test(value) ? URL.parse(value) : null
  if (!url) return 'is not a URL with a valid host, such as https://example.com/menu.jpg'
  if (url.username || url.password || /^[^/]*\/\/[^/?#]*@/.test(value)) return 'contains credentials before the host; remove them'
  return isInternal(url) ? 'points to a private or loopback address, which Afilnet cannot reach; use a public one' : undefined
}
