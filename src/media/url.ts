import type { MediaRow } from '../store/media.ts'

/** The public URL of a file. */
export const urlOf = (base: string, { token, name }: Pick<MediaRow, 'token' | 'name'>) =>
  `${base}/media/${token}/${encodeURIComponent(name)}`

/** The secret part of a URL under one of these bases; empty if it cannot be one of a file, `undefined` if the URL leads elsewhere. */
export function tokenIn(url: string, bases: readonly string[]): string | undefined {
  const base = bases.find(base => url.startsWith(`${base}/media/`))
  return base && (/^[\w-]{43}(?=\/[^/?#]+$)/.exec(url.slice(base.length + '/media/'.length))?.[0] ?? '')
}
