import { decoded } from '../lib/decoded.ts'
import { quoted } from './quote.ts'

/** Reads an absolute URL of nothing but host, port and path, and reports why a text is none; only its harmless parts are quoted. */
export function readUrl(value: string, report: (issue: string) => void): URL | undefined {
  const url = URL.parse(value)
  if (!url) return void report(`${quoted(value)} is not an absolute URL such as https://chat.example.com`)
  if (!/^https?:$/.test(url.protocol)) return void report(`${quoted(url.protocol)} is not the protocol http or https`)
  if (value !== value.trim()) return void report('has blanks at its start or end; remove them')
  if (url.username || url.password) return void report('contains credentials; remove them')
  return /[?#]/.test(value) ? void report('has a query or a fragment; remove it') : url
}

/** The URL of a proxy: host, port and maybe credentials. */
export function readProxyUrl(value: string): URL | undefined {
  const url = URL.parse(value)
  const isValid = url && /^https?:$/.test(url.protocol) && url.pathname === '/' && !/[?#]/.test(value)
  return isValid && decoded(`${url.username}:${url.password}`) !== undefined ? url : undefined
}
