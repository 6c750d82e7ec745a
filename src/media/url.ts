import type { MediaRow } from '../store/media.ts'

/** The public URL of a file. */
export const urlOf = (base: string, { token, name }: Pick<MediaRow, 'token' | 'name'>) =>
  `${base}/media/${token}/${encodeURIComponent(name)}`

/** The secret part of a URL under one of these bases; empty if it cannot be one of a file, `undefined` if the URL leads elsewhere. */
export function tokenIn(url: string, bases: readonly string[]): string | undefined {
  const [, server = '', path = ''] = /^(https?:\/\/[^/?#\\@\s]+)(.*)$/is.exec(url) ?? []
  const own = `${URL.parse(server)?.origin}${path}` // scheme and host in any case, with or without the usual port
  const base = bases.find(base => own.startsWith(`${base}/media/`))
  return base && (/^[\w-]{43}(?=\/[^/?#]+$)/.exec(own.slice(base.length + '/media/'.length))?.[0] ?? '')
}
