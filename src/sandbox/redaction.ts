/** The one password that may be seen: it opens nothing but a sandbox. */
export const fakePassword = 'fake-sandbox-password'

const mask = '<redacted>'

const unquote = (text: string) =>
  text.replace(/(?:%|\\u00)([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

/** Whether a name, however it is encoded or cased, speaks of a password. */
const secret = (name: string) => /password/i.test(unquote(unquote(name)).replace(/[\\\0]/g, ''))

const maskPair = (pair: string) => {
  const at = pair.indexOf('=')
  if (at < 0 || !secret(pair.slice(0, at))) return pair
  return unquote(pair.slice(at + 1)) === fakePassword ? pair : `${pair.slice(0, at)}=${mask}`
}

const maskPairs = (text: string) => text.split('&').map(maskPair).join('&')

const maskPart = (part: string) => {
  const [, head, value, end] = /^(.*?\r?\n\r?\n)(.*?)(\r?\n|$)$/s.exec(part) ?? []
  if (head === undefined) return secret(part) ? mask : part
  return secret(head) && value !== fakePassword ? `${head}${mask}${end}` : part
}

const xmlPassword = /(<[^<>]*password[^<>]*>)([^<]*)(<\/)/gi

const maskBody = (text: string, contentType: string, isReadable: boolean) => {
  if (/^application\/x-www-form-urlencoded/i.test(contentType)) return maskPairs(text)
  const boundary = /^multipart\/form-data.*?;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType)
  const delimiter = boundary && `--${boundary[1] ?? boundary[2]}`
  if (isReadable && delimiter && text.includes(delimiter)) return text.split(delimiter).map(maskPart).join(delimiter)
  if (isReadable && /^text\/xml\b/i.test(contentType))
    return text.replace(xmlPassword, (all, head, value, end) => (value === fakePassword ? all : `${head}${mask}${end}`))
  // A body in an unknown form cannot be taken apart, so it is kept whole or not at all.
  return secret(text) ? mask : text
}

const maskAuthorization = (value: string) => {
  const [, scheme = '', token = ''] = /^(\S+)\s+(.*)$/.exec(value) ?? []
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(token, 'base64').toString()) ?? []
  if (!/^basic$/i.test(scheme) || user === undefined) return `${scheme} ${mask}`.trim()
  return password === fakePassword ? value : `${scheme} ${user}:${mask}`
}

const maskHeader = (name: string, value: string) => {
  if (/authorization/i.test(name)) return maskAuthorization(value)
  return /cookie|token|password/i.test(name) || secret(value) ? mask : value
}

/** Finds the bytes of `password`, plain, percent-encoded or escaped in JSON, in a text of one character to a byte. */
const traceOf = (password: string) => {
  const bytes = [...Buffer.from(password)].map(byte => byte.toString(16).padStart(2, '0'))
  return new RegExp(bytes.map(hex => `(?:\\\\?\\x${hex}|%${hex}${hex === '20' ? '|\\+' : ''})`).join(''), 'gi')
}

/**
 * Keeps every password but the fake one out of what is recorded.
 *
 * Two nets: where a password belongs it is masked whatever it is, and the sandbox's own one is masked wherever it turns up.
 */
export function createRedactor(password: string) {
  const trace = password === fakePassword ? undefined : traceOf(password)
  const sweep = (bytes: string) => (trace ? bytes.replace(trace, mask) : bytes)
  const sweepText = (text: string) => (trace ? Buffer.from(sweep(Buffer.from(text).toString('latin1')), 'latin1').toString() : text)

  const sweepAll = (value: unknown): unknown => {
    if (typeof value === 'string') return sweepText(value)
    if (Array.isArray(value)) return value.map(sweepAll)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [sweepText(name), sweepAll(member)]))
  }

  return {
    text: sweepText,
    /** The same value without the sandbox's own password in any string of it, keys included. */
    all: <T>(value: T) => (trace ? (sweepAll(value) as T) : value), // only strings change, so the type stays
    query: (raw: string) => sweep(maskPairs(raw)),
    body: (bytes: Buffer, contentType: string, isReadable: boolean) =>
      Buffer.from(sweep(maskBody(bytes.toString('latin1'), contentType, isReadable)), 'latin1'),
    header: (name: string, value: string) => sweepText(maskHeader(name, value)),
    param: ([name, value]: [string, string]): [string, string] => [
      sweepText(name),
      secret(name) && value !== fakePassword ? mask : sweepText(value),
    ],
  }
}
