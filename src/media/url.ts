import type { MediaRow } from '../store/media.ts'

/** The public URL of a file. */
export const urlOf = (base: string, { token, name }: Pick<MediaRow, 'token' | 'name'>) =>
  `${base}/media/${token}/${encodeURIComponent(name)}`

/** The secret part of a URL under one of these bases; empty if it cannot be one of a file, `undefined` if the URL leads elsewhere. */
export function tokenIn(url: string, bases: readonly string[]): string | undefined {
  const own = normalizeServer(url)
  const folder = bases.map(base => `${normalizeServer(base)}/media/`).find(folder => own.startsWith(folder))
  return folder && (/^[\w-]{43}(?=\/[^/?#]+$)/.exec(own.slice(folder.length))?.[0] ?? '')
}

/** Scheme and host in lower case, without the usual port; the path as it is. */
function normalizeServer(url: string) {
  const [, server = '', path = ''] = /^(https?:\/\/[^/?#\\@\s]+)(.*)$/is.exec(url) ?? []
  return `${URL.parse(server)?.origin}${path}`
}
