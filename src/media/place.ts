import { decoded } from '../lib/decoded.ts'

/** Where the bytes of files are kept. */
export type MediaPlace =
  | { kind: 'folder'; path: string }
  | { kind: 's3'; bucket: string; prefix: string; endpoint?: string; region?: string }

export const expectedMediaStore = 'file:<folder> or s3://<bucket>/<prefix>?endpoint=<URL>&region=<region>'

/** Reads a `MEDIA_STORE`; `undefined` if it names no place. */
export function readMediaPlace(text: string): MediaPlace | undefined {
  const [, path] = /^file:(?!\/\/)(.+)$/s.exec(text) ?? []
  if (path !== undefined) return { kind: 'folder', path }
  const url = text.startsWith('s3://') ? URL.parse(text) : null
  if (!url || url.username || url.password || url.hash || !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.host)) return undefined
  const query = Object.fromEntries(url.searchParams)
  const { endpoint, region, ...others } = query
  const isTwice = url.searchParams.size > Object.keys(query).length
  const at = endpoint === undefined ? undefined : URL.parse(endpoint)
  const isValid = endpoint === undefined || (at && /^https?:$/.test(at.protocol) && !at.username && !at.password)
  const prefix = decoded(url.pathname)?.replace(/^\/+|\/+$/g, '')
  if (!isValid || isTwice || prefix === undefined || Object.keys(others).length > 0 || url.pathname.includes('..')) return undefined
  return { kind: 's3', bucket: url.host, prefix: prefix && `${prefix}/`, ...(endpoint && { endpoint }), ...(region && { region }) }
}

/** The same place as a text for people. */
export const showMediaPlace = (place: MediaPlace) =>
  place.kind === 'folder' ? `file:${place.path}` : `s3://${place.bucket}/${place.prefix}${place.endpoint ? ` at ${place.endpoint}` : ''}`
