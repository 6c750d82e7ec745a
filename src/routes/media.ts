import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { ownerOf } from '../access.ts'
import { oneOf } from '../lib/string-enum.ts'
import { fitsType, type MediaType, mediaTypes, typeOf } from '../media/content.ts'
import type { Upload } from '../media/form.ts'
import type { Media } from '../media/media.ts'
import { urlOf } from '../media/url.ts'
import { Problem } from '../problem/problem.ts'
import type { MediaRow } from '../store/media.ts'
import { acceptForms } from './forms.ts'
import { ref } from './params.ts'

/** A stored file. */
export type MediaFile = Static<typeof MediaFile>
export const MediaFile = Type.Object(
  {
    id: Type.String(),
    url: Type.String({ description: 'For `fileUrl` or `thumbUrl`. Anyone who knows it can fetch the file' }),
    type: Type.String({ description: 'What it can be sent as' }),
    contentType: Type.String(),
    bytes: Type.Integer(),
    sha256: Type.String(),
    name: Type.String(),
    expiresAt: Type.String({ format: 'date-time' }),
  },
  {
    $id: 'MediaFile',
    examples: [
      {
        id: '7d9f1f6e…',
        url: 'https://chat.example.com/media/X5yL…/menu.jpg',
        type: 'image',
        contentType: 'image/jpeg',
        bytes: 48213,
        sha256: '9f86d08…',
        name: 'menu.jpg',
        expiresAt: '2026-02-03T09:30:00.000Z',
      },
    ],
  },
)

/** A file in a form: published as binary, and validated by the room that has read it. */
export const filePart = (description: string) => Type.Unsafe<Upload>({ upload: true, description })

/** Knows a file that has arrived. */
export const uploadKeyword = {
  keyword: 'upload',
  validate: (_: true, value: unknown) => typeof value === 'object' && value !== null,
} as const

/** The form of a file to store. */
export type NewMedia = Static<typeof NewMedia>
export const NewMedia = Type.Object(
  { type: Type.Optional(oneOf(mediaTypes, { description: 'Default: by its content' })), file: filePart('The file') },
  { $id: 'NewMedia', additionalProperties: false, examples: [{ type: 'image', file: '…' }] },
)

/** What a file is to be sent as; throws `file-type-mismatch` if its content is something else. */
export function typeFor(pointer: string, wanted: MediaType | undefined, contentType: string): MediaType {
  const type = wanted ?? typeOf(contentType)
  if (fitsType(type, contentType)) return type
  const detail = `is ${contentType} by its content, which cannot be sent as ${type}`
  throw new Problem('file-type-mismatch', { detail: `The file ${pointer} ${detail}.`, errors: [{ pointer, detail }] })
}

function describe(row: MediaRow, base: string): MediaFile {
  const { id, type, contentType, bytes, sha256, name, expiresAt } = row
  return { id, url: urlOf(base, row), type, contentType, bytes, sha256, name, expiresAt: new Date(expiresAt).toISOString() }
}

const File = ref(MediaFile)
const ById = Type.Object({ id: Type.String({ description: 'The id of the file', examples: ['7d9f1f6e…'] }) })
const ofOwner = { scope: 'media:write', errors: ['media-not-found', 'store-unavailable'] } as const

type MediaOptions = { media: Media; base: string }

/** In a scope of its own, since it takes forms only, and no JSON. */
const storeMedia: FastifyPluginAsyncTypebox<MediaOptions> = async (app, { media, base: links }) => {
  acceptForms(app, media, { fields: ['type'], files: ['file'] })
  app.removeContentTypeParser('application/json')

  app.post(
    '/media',
    {
      config: {
        scope: 'media:write',
        errors: ['file-type-mismatch', 'media-full', 'media-not-public', 'overloaded', 'store-unavailable'],
      },
      schema: {
        operationId: 'storeMedia',
        summary: 'Store a file for sends',
        description: 'Stores a file for any number of sends.',
        tags: ['Files'],
        body: { content: { 'multipart/form-data': { schema: ref(NewMedia) } } },
        response: {
          201: {
            description: 'It is stored',
            headers: { Location: { type: 'string', description: 'Where to ask about it' } },
            content: { 'application/json': { schema: File } },
          },
        },
      },
    },
    async (request, reply) => {
      const { body, form, caller, call } = request
      const { type: wanted, file } = body as NewMedia // as the schema has it
      const base = media.baseFor(call.account.isLocal)
      const type = typeFor('/file', wanted, file.contentType)
      const [row] = (await media.keep(ownerOf(caller), [{ type, upload: file }], caller.token?.chat)) as [MediaRow] // one for the one file
      await form?.discard()
      return reply
        .code(201)
        .headers({ location: `${links}/media/${row.id}`, 'cache-control': 'no-store' })
        .send(describe(row, base))
    },
  )
}

/** Files that callers store before they send them. */
export const mediaFiles: FastifyPluginAsyncTypebox<MediaOptions> = async (app, { media, base: links }) => {
  await app.register(storeMedia, { media, base: links })

  app.get(
    '/media/:id',
    {
      config: { ...ofOwner, errors: [...ofOwner.errors, 'media-not-public'] },
      schema: {
        operationId: 'getMedia',
        summary: 'A stored file of this caller',
        tags: ['Files'],
        params: ById,
        response: { 200: File },
      },
    },
    async ({ params, caller, call }, reply) => {
      const row = await media.find(ownerOf(caller), params.id)
      reply.header('cache-control', 'private, no-store')
      return describe(row, media.baseFor(call.account.isLocal))
    },
  )

  app.delete(
    '/media/:id',
    {
      config: ofOwner,
      schema: {
        operationId: 'deleteMedia',
        summary: 'Delete a stored file',
        tags: ['Files'],
        params: ById,
        response: { 204: { type: 'null', description: 'It is gone' } },
      },
    },
    async ({ params, caller }, reply) => {
      await media.remove(ownerOf(caller), params.id)
      return reply.code(204).header('cache-control', 'no-store').send()
    },
  )
}
