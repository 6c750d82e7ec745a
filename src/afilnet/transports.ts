import { userAgent } from '../version.ts'
import type { Operation } from './operations.ts'

export type Credentials = { user: string; password: string }

/** What undici needs to dispatch one call. */
export type WireRequest = { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body: string | null }

type Values = Record<string, string | undefined>

/** Writes the request of an operation. */
export type RequestWriter = (operation: Operation, params: Values) => WireRequest

type Transport = (path: string, account: Credentials) => RequestWriter

/**
 * The headers of every request. The gateway decodes a coding that it did not ask for, but some proxies compress unless they are asked not to.
 *
 * All names have the usual capitals: PHP's `getallheaders()` keeps their spelling under Apache, and programs look for `Authorization` in it.
 */
export const commonHeaders = { 'Accept-Encoding': 'identity', 'User-Agent': userAgent }

const accept = { Accept: 'application/json', ...commonHeaders }
export const formHeaders = { 'Content-Type': 'application/x-www-form-urlencoded', ...accept }

/**
 * Writes the form that Afilnet reads: only documented names, each once, in the manual's order.
 *
 * The beginning of each operation's form is the same for all calls of an account, so it is kept.
 */
function formWriter(credentials = '') {
  const beginnings = new Map<Operation, string>()
  return (operation: Operation, params: Values) => {
    let form = beginnings.get(operation)
    if (form === undefined) {
      form = `class=chat&method=${operation.method}${credentials}`
      beginnings.set(operation, form)
    }
    for (const name of operation.required) form += field(name, params[name])
    for (const name of operation.optional) form += field(name, params[name])
    return form
  }
}

const credentialFields = ({ user, password }: Credentials) => field('user', user) + field('password', password)

/** Most values are plain, and the encoder costs more than all the rest of a form. */
function field(name: string, value: string | undefined) {
  if (value === undefined) return ''
  return /^[A-Za-z0-9*._-]*$/.test(value) ? `&${name}=${value}` : `&${new URLSearchParams({ [name]: value })}`
}

/** The transports that the manual describes, each turning an operation into one HTTP request. */
export const transports = {
  post(path, account) {
    const write = formWriter(credentialFields(account))
    return (operation, params) => ({ method: 'POST', path, headers: formHeaders, body: write(operation, params) })
  },
  basic(path, { user, password }) {
    const write = formWriter()
    const headers = { ...formHeaders, Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
    return (operation, params) => ({ method: 'POST', path, headers, body: write(operation, params) })
  },
  get(path, account) {
    const write = formWriter(credentialFields(account))
    return (operation, params) => ({ method: 'GET', path: `${path}?${write(operation, params)}`, headers: accept, body: null })
  },
} as const satisfies Record<string, Transport>

/** The five ways into Afilnet that the manual names. Of json and soap, it tells nothing but the names. */
export const transportNames = ['post', 'basic', 'get', 'json', 'soap'] as const
export type TransportName = (typeof transportNames)[number]

/** Where the manual says each transport lives. */
export const documentedUrl: { readonly [name in TransportName]?: string } = {
  post: 'https://www.afilnet.com/api/http/',
  basic: 'https://www.afilnet.com/api/basic/',
  get: 'https://www.afilnet.com/api/http/',
}

/** How the transport json gets its tokens. */
export const grants = ['client_credentials', 'password'] as const

/** Where the transport json puts class and method. */
export const jsonStyles = ['body', 'path'] as const

/** Characters that the manual gives a GET request. */
export const maxGetChars = 4000
