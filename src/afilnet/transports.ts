import type { Operation } from './operations.ts'

export type Credentials = { user: string; password: string }

/** What undici needs to dispatch one call. */
export type WireRequest = { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body: string | null }

type Transport = (path: string, account: Credentials, operation: Operation, params: Record<string, string | undefined>) => WireRequest

const formHeaders = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }

/** The form that Afilnet reads: only documented names, each once, in the manual's order. */
function form(operation: Operation, params: Record<string, string | undefined>, account?: Credentials) {
  let fields = `class=chat&method=${operation.method}`
  if (account) fields += `&user=${encode(account.user)}&password=${encode(account.password)}`
  for (const name of operation.required) fields += field(name, params[name])
  for (const name of operation.optional) fields += field(name, params[name])
  return fields
}

const field = (name: string, value: string | undefined) => (value === undefined ? '' : `&${name}=${encode(value)}`)

/** Most values are plain, and the encoder costs more than all the rest of a form. */
const encode = (value: string) => (/^[A-Za-z0-9*._-]*$/.test(value) ? value : new URLSearchParams({ '': value }).toString().slice(1))

/** The ways into Afilnet, each turning an operation into one HTTP request. */
export const transports = {
  post: (path, { user, password }, operation, params) => ({
    method: 'POST',
    path,
    headers: formHeaders,
    body: form(operation, params, { user, password }),
  }),
  basic: (path, { user, password }, operation, params) => ({
    method: 'POST',
    path,
    headers: { ...formHeaders, authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
    body: form(operation, params),
  }),
  get: (path, { user, password }, operation, params) => ({
    method: 'GET',
    path: `${path}?${form(operation, params, { user, password })}`,
    headers: { accept: 'application/json' },
    body: null,
  }),
} as const satisfies Record<string, Transport>

export type TransportName = keyof typeof transports

/** Where the manual says each transport lives. */
export const documentedUrl: Record<TransportName, string> = {
  post: 'https://www.afilnet.com/api/http/',
  basic: 'https://www.afilnet.com/api/basic/',
  get: 'https://www.afilnet.com/api/http/',
}

/** Characters that the manual gives a GET request. */
export const maxGetChars = 4000
