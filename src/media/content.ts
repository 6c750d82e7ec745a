import { type Draft, MediaStoreError } from './bytes.ts'

/** The types of a file, as Afilnet has them. */
export const mediaTypes = ['image', 'video', 'audio', 'voice', 'document', 'contact'] as const
export type MediaType = (typeof mediaTypes)[number]

type Arrived = Pick<Draft, 'read'> & { bytes: number; isText: boolean }

// How much of a file is looked at: one may be made of so many parts that to follow them all would take long. Its first block then decides.
const blockBytes = 16_384
const maxBlocks = 256
const maxReads = 10_000

/** What a file is by its content: its name and what the caller says of it count for nothing. */
export async function contentTypeOf({ read, bytes, isText }: Arrived): Promise<string> {
  const { fileTypeFromBlob, fileTypeFromBuffer } = await import('file-type')
  const first = await read(0, blockBytes)
  if (/^(\xEF\xBB\xBF)?\s*BEGIN:VCARD\s/i.test(Buffer.from(first.subarray(0, 256)).toString('latin1'))) return 'text/vcard'
  const found = await fileTypeFromBlob(blobOf(read, bytes, first)).catch(error => {
    if (error instanceof MediaStoreError) throw error
    return fileTypeFromBuffer(first).catch(() => undefined)
  })
  const mime = found?.mime
  if (mime !== undefined && mime !== ('text/vcard' as typeof mime)) return mime.replace(/;.*$/s, '')
  return isText ? 'text/plain' : 'application/octet-stream'
}

/** A file as `file-type` reads it: at any place, a few bytes at a time, which come from a block in memory where they can. */
function blobOf(read: Draft['read'], size: number, first: Uint8Array): Blob {
  let [block, blockAt, blocks, reads] = [first, 0, 0, 0]
  const bytes = async (start: number, end: number) => {
    if (++reads > maxReads) throw new RangeError('too many reads')
    if (start < blockAt || end > blockAt + block.length) {
      const length = Math.max(blockBytes, end - start)
      blocks += length / blockBytes
      if (blocks > maxBlocks) throw new RangeError('too many bytes')
      block = await read(start, length)
      blockAt = start
    }
    return block.slice(start - blockAt, end - blockAt)
  }
  const slice = (start: number, end: number) => ({ arrayBuffer: () => bytes(start, end) })
  return { size, type: '', slice } as unknown as Blob // all that it uses of one
}

const isRaster = (contentType: string) => /^image\/(?!svg)/.test(contentType)

const fits: Record<MediaType, (contentType: string) => boolean> = {
  image: isRaster,
  video: contentType => contentType.startsWith('video/'),
  audio: contentType => contentType.startsWith('audio/'),
  voice: contentType => contentType.startsWith('audio/'),
  contact: contentType => contentType === 'text/vcard',
  document: () => true,
}

/** Whether a file with this content can be sent as that type. */
export const fitsType = (type: MediaType, contentType: string) => fits[type](contentType)

/** The type of a file whose sender names none. */
export const typeOf = (contentType: string): MediaType =>
  (['image', 'video', 'audio', 'contact'] as const).find(type => fits[type](contentType)) ?? 'document'

/** Whether a browser may show the file. It downloads types that could run a script, and unknown ones. */
export const isInline = (contentType: string) => isRaster(contentType) || /^(audio|video)\//.test(contentType)

const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}"*/:<>?\\|]/gu

/** A name without paths, control characters, marks that turn the direction of text, and what file systems refuse. */
export function cleanName(given: string | undefined): string {
  const name = given?.replace(/%22|%0[AD]/gi, '') ?? '' // as browsers write quotes and line breaks
  const last = name.split(/[/\\]/).at(-1) ?? ''
  const clean = last.toWellFormed().normalize('NFC').replace(unsafe, '').replace(/\s+/g, ' ').trim().replace(/^\.+/, '')
  const [, stem = '', extension = ''] = /^(.*?)(\.[^.]{1,16})?$/su.exec(clean) ?? []
  return [...stem].slice(0, 80).join('') + extension || 'file'
}
