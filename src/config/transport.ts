import { hash } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import { documentedUrl, type grants, type jsonStyles, type TransportName } from '../afilnet/transports.ts'
import { isLocal } from '../lib/addresses.ts'
import { passwordIssue, type ReadFile, sandboxClientSecret } from './secrets.ts'
import { readUrl } from './url.ts'
import type { Report } from './variables.ts'

/** How the calls of an account travel. */
export type TransportConfig = {
  transport: TransportName
  /** Where calls go; with soap, where the WSDL is if no other URL was given. */
  url: URL
  tokenUrl?: URL
  clientId?: string
  clientSecret?: string
  scope?: string
  grant?: (typeof grants)[number]
  jsonStyle?: (typeof jsonStyles)[number]
  wsdl?: URL
  /** Of a WSDL in a file: so that another content is another configuration. */
  wsdlDigest?: string
}

/** The same as it was written, with what else an account has to do with it. */
export type TransportParts = {
  [K in 'user' | 'password' | 'url' | 'tokenUrl' | 'clientId' | 'clientSecret' | 'scope' | 'wsdl']?: string | undefined
} & { [K in 'transport' | 'grant' | 'jsonStyle']?: TransportConfig[K] | undefined }

const ofJson = ['tokenUrl', 'clientId', 'clientSecret', 'scope', 'grant', 'jsonStyle'] as const

/** A property that the transport does not use. */
export function isIdle(parts: TransportParts): { property: string; why: string } | undefined {
  const { transport = 'post' } = parts
  const property = transport === 'json' ? undefined : ofJson.find(name => parts[name] !== undefined)
  if (property) return { property, why: `it is for the transport json, and the transport is ${transport}` }
  if (parts.wsdl !== undefined && transport !== 'soap')
    return { property: 'wsdl', why: `it is for the transport soap, and the transport is ${transport}` }
  return undefined
}

type Read = { config: Partial<TransportConfig>; needsUser: boolean }

/** Reads what the transport of an account needs; `needsUser` says whether a user and a password belong to it. */
export function readTransport(parts: TransportParts, read: ReadFile, report: Report): Read {
  const { transport = 'post' } = parts
  const fallback = documentedUrl[transport]
  const url = parts.url === undefined ? fallback && new URL(fallback) : secureUrl('url', parts.url, report)
  const shared = { transport, ...(url && { url }) }
  if (transport === 'json') return readJson(parts, shared, report)
  if (transport !== 'soap') return { config: shared, needsUser: true }
  const wsdl = readWsdl(parts.wsdl, read, report)
  return { config: { ...wsdl, ...(wsdl.wsdl && { url: wsdl.wsdl }), ...shared }, needsUser: true }
}

const needs = {
  url: 'the https URL of the JSON endpoint, which the manual does not tell',
  tokenUrl: 'the https URL of the OAuth 2.0 token endpoint',
  clientId: 'the OAuth 2.0 client id',
  clientSecret: 'the OAuth 2.0 client secret',
} as const

function readJson(parts: TransportParts, shared: Partial<TransportConfig>, report: Report): Read {
  const { clientId, clientSecret, scope, grant = 'client_credentials', jsonStyle = 'body' } = parts
  for (const [property, what] of Object.entries(needs) as [keyof typeof needs, string][])
    if (parts[property] === undefined) report(property, `is required with the transport json: ${what}`)
  const tokenUrl = parts.tokenUrl === undefined ? undefined : secureUrl('tokenUrl', parts.tokenUrl, report)
  const issue = clientSecret === undefined ? undefined : passwordIssue(clientSecret)
  if (issue) report('clientSecret', issue)
  if (clientSecret?.trim() === sandboxClientSecret && tokenUrl && !isLocal(tokenUrl))
    report('clientSecret', 'is the client secret of the sandbox, which is for a loopback host or one named sandbox')
  const own = {
    ...(tokenUrl && { tokenUrl }),
    ...(clientId !== undefined && { clientId }),
    ...(clientSecret !== undefined && { clientSecret }),
  }
  return { config: { ...shared, ...own, ...(scope !== undefined && { scope }), grant, jsonStyle }, needsUser: grant === 'password' }
}

function readWsdl(value: string | undefined, read: ReadFile, report: Report): Pick<Partial<TransportConfig>, 'wsdl' | 'wsdlDigest'> {
  if (value === undefined) {
    report('wsdl', 'is required with the transport soap: the https URL or the file of the WSDL')
    return {}
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(value)) {
    // A WSDL is often the query of the URL that it describes.
    const wsdl = secureUrl('wsdl', value.replace(/\?[^#]*/, ''), report)
    return wsdl ? { wsdl: new URL(value) } : {}
  }
  const { text, issue } = read(value)
  if (text !== undefined) return { wsdl: pathToFileURL(value), wsdlDigest: hash('sha256', text) }
  report('wsdl', `the file ${issue}`)
  return {}
}

/** A URL to which credentials may go. */
function secureUrl(property: string, value: string, report: Report): URL | undefined {
  const url = readUrl(value, issue => report(property, issue))
  if (url?.protocol === 'http:' && !isLocal(url))
    report(property, 'is plain http; write https (http is for a loopback host or one named sandbox)')
  return url
}
