/** The types of a file, as Afilnet has them. */
export const mediaTypes = ['image', 'video', 'audio', 'voice', 'document', 'contact'] as const
export type MediaType = (typeof mediaTypes)[number]

/** How many bytes are kept of a file to tell what it is. */
export const sampleBytes = 16_384

/** What a file is by its content: its name and what the caller says of it count for nothing. */
export async function contentTypeOf(sample: Uint8Array, isText: boolean): Promise<string> {
  const { fileTypeFromBuffer } = await import('file-type')
  const mime = (await fileTypeFromBuffer(sample).catch(() => undefined))?.mime
  const isCard = isText && /^\uFEFF?\s*BEGIN:VCARD\s/i.test(Buffer.from(sample.subarray(0, 256)).toString())
  if (isCard) return 'text/vcard'
  if (mime !== undefined && mime !== ('text/vcard' as typeof mime)) return mime.replace(/;.*$/s, '')
  return isText ? 'text/plain' : 'application/octet-stream'
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

/** Whether a browser may show it: what could run a script, or what nobody knows, is only ever downloaded. */
export const isInline = (contentType: string) => isRaster(contentType) || /^(audio|video)\//.test(contentType)

const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}"*/:<>?\\|]/gu

/** A name without paths, control characters, marks that turn the direction of text, and what file systems refuse. */
export function cleanName(given: string | undefined): string {
  const last =
    given
      ?.replace(/%22|%0[AD]/gi, '')
      .split(/[/\\]/)
      .at(-1) ?? '' // as browsers write quotes and line breaks
  const clean = last.toWellFormed().normalize('NFC').replace(unsafe, '').replace(/\s+/g, ' ').trim().replace(/^\.+/, '')
  const [, stem = '', extension = ''] = /^(.*?)(\.[^.]{1,16})?$/su.exec(clean) ?? []
  return [...stem].slice(0, 80).join('') + extension || 'file'
}
