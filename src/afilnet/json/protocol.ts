import type { Operation } from '../operations.ts'
import type { Protocol } from '../protocol.ts'
import { commonHeaders, type RequestWriter } from '../transports.ts'
import { TokenAttempt } from './attempt.ts'
import { Tokens, type TokensOptions } from './tokens.ts'

export type JsonOptions = TokensOptions & { url: URL; jsonStyle: 'body' | 'path' }

/** JSON with OAuth 2.0: the documented names in a JSON object, a token in the header, the envelope in the answer. */
export function createJsonProtocol({ url, jsonStyle, ...options }: JsonOptions): Protocol {
  const tokens = new Tokens(options)
  return {
    url,
    write: createWriter(url.pathname, jsonStyle),
    readsFaults: false,
    attempt: (state, call, listener) => new TokenAttempt(tokens, state, call, listener),
  }
}

const headers = { 'Content-Type': 'application/json', Accept: 'application/json', ...commonHeaders }

function createWriter(path: string, style: 'body' | 'path'): RequestWriter {
  const base = path.endsWith('/') ? path : `${path}/`
  return (operation, params) => {
    const { method } = operation
    const named = style === 'body' ? { class: 'chat', method } : {}
    const body = JSON.stringify({ ...named, ...pick(operation, params) })
    return { method: 'POST', path: style === 'body' ? path : `${base}chat/${method}`, headers, body }
  }
}

/** The documented parameters, in the manual's order. */
const pick = ({ required, optional }: Operation, params: Record<string, string | undefined>) =>
  Object.fromEntries([...required, ...optional].map(name => [name, params[name]]))
