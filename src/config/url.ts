import { decoded } from '../lib/decoded.ts'
import { quoted } from './quote.ts'

/** An absolute URL of nothing but host, port and path. */
export const readUrl = (value: string): URL | undefined => (urlIssue(value) === undefined ? new URL(value) : undefined)

/** Why a text is not an absolute URL of nothing but host, port and path. Only its harmless parts are quoted. */
export function urlIssue(value: string): string | undefined {
  const url = URL.parse(value)
  if (!url) return `${quoted(value)} is not an absolute URL such as https://chat.example.com`
  if (!/^https?:$/.test(url.protocol)) return `${quoted(url.protocol)} is not the protocol http or https`
  if (value !== value.trim()) return 'has blanks at its start or end; remove them'
  if (url.username || url.password) return 'contains credentials; remove them'
  return /[?#]/.test(value) ? 'has a query or a fragment; remove it' : undefined
}

/** The URL of a proxy: host, port and maybe credentials. */
export function readProxyUrl(value: string): URL | undefined {
  const url = URL.parse(value)
  const isValid = url && /^https?:$/.test(url.protocol) && url.pathname === '/' && !/[?#]/.test(value)
  return isValid && decoded(`${url.username}:${url.password}`) !== undefined ? url : undefined
}
