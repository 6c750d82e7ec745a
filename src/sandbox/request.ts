import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { readSoap } from './soap.ts'

export type Param = [name: string, value: string]

export type Transport = 'get' | 'form' | 'multipart' | 'query' | 'basic' | 'json' | 'soap'

/** The ways in, which differ in where they carry the call and the credentials. */
export type Way = 'http' | 'basic' | 'json' | 'soap'

/** A call as it came in, secrets included; `error` is set where it cannot be read without guessing. */
export type ReceivedRequest = {
  way: Way
  transport: Transport
  contentType: string
  query: string
  bytes: Buffer
  params: Param[]
  authorization: string
  error?: string
}

type Parsed = { params: Param[]; error?: string }

const decode = (raw: string) => {
  const spaced = raw.replaceAll('+', ' ')
  const bytes = spaced.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  const buffer = Buffer.from(bytes, 'latin1')
  return { text: buffer.toString(), isValid: isUtf8(buffer) && !/%(?![0-9a-f]{2})/i.test(raw) }
}

/**
 * Reads `a=1&b=2` from a text of one character to a byte.
 *
 * Not with URLSearchParams: that one replaces broken bytes by U+FFFD, and a broken writer would go unnoticed.
 */
function parsePairs(raw: string): Parsed {
  const pairs = raw.split('&').filter(Boolean)
  const decoded = pairs.map(pair => {
    const [name = '', value = ''] = pair.split(/=(.*)/s, 2)
    return [decode(name), decode(value)] as const
  })
  const broken = decoded.find(([name, value]) => !name.isValid || !value.isValid)
  return {
    params: decoded.map(([name, value]) => [name.text, value.text]),
    ...(broken && { error: `Parameter ${broken[0].text} is not percent-encoded UTF-8` }),
  }
}

async function parseMultipart(bytes: Buffer, contentType: string): Promise<Parsed> {
  if (!isUtf8(bytes)) return { params: [], error: 'The multipart body is not UTF-8' }
  try {
    const form = await new Response(new Uint8Array(bytes), { headers: { 'content-type': contentType } }).formData()
    const file = [...form].find(([, value]) => typeof value !== 'string')
    return {
      params: [...form].flatMap(([name, value]): Param[] => (typeof value === 'string' ? [[name, value]] : [])),
      ...(file && { error: `Parameter ${file[0]} is an uploaded file, which Afilnet takes as a URL` }),
    }
  } catch {
    return { params: [], error: 'The multipart body is malformed' }
  }
}

/** Reads the body in the way that its URL stands for. As PHP does, the others leave a body unread that is no form. */
async function parseBody(way: Way, bytes: Buffer, headers: IncomingHttpHeaders, path: string): Promise<Parsed & { transport: Transport }> {
  const contentType = headers['content-type'] ?? ''
  if (way === 'json') return { transport: 'json', ...parseJson(bytes, contentType, path) }
  if (way === 'soap') return { transport: 'soap', ...readSoap(bytes, contentType, String(headers.soapaction ?? '')) }
  const [type] = contentType.toLowerCase().split(/[;\s]/)
  if (type === 'multipart/form-data') return { transport: 'multipart', ...(await parseMultipart(bytes, contentType)) }
  if (type === 'application/x-www-form-urlencoded' && bytes.length > 0)
    return { transport: 'form', ...parsePairs(bytes.toString('latin1')) }
  return { transport: 'query', params: [] }
}

/** The members of a JSON object, each a text; class and method stand there or in the path. */
function parseJson(bytes: Buffer, contentType: string, path: string): Parsed {
  if (!/^application\/json *(;|$)/i.test(contentType)) return { params: [], error: 'Expected content-type: application/json' }
  let body: unknown
  try {
    if (!isUtf8(bytes)) throw new Error()
    body = JSON.parse(bytes.toString())
  } catch {
    return { params: [], error: 'The body is not JSON in UTF-8' }
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return { params: [], error: 'The body is not a JSON object' }
  const wrong = Object.entries(body).find(([, value]) => typeof value !== 'string')
  if (wrong) return { params: [], error: `Parameter ${wrong[0]} is not a string` }
  const inPath = /^\/api\/json\/(?<class>[^/]+)\/(?<method>[^/]+)$/.exec(path)?.groups ?? {}
  return { params: [...Object.entries(inPath), ...(Object.entries(body) as Param[])] } // each value is a string, as checked
}

/** Takes a request apart: parameters of the query first, then those of the body, in their order, duplicates kept. */
export async function readRequest(
  request: IncomingMessage,
  path: string,
  query: string,
  bytes: Buffer,
  way: Way,
): Promise<ReceivedRequest> {
  const { headers, method } = request
  const fromQuery = parsePairs(query)
  const fromBody = await parseBody(way, bytes, headers, path)
  const error = fromQuery.error ?? fromBody.error
  return {
    way,
    transport: way === 'basic' ? 'basic' : method === 'GET' ? 'get' : fromBody.transport,
    contentType: headers['content-type'] ?? '',
    query,
    bytes,
    params: [...fromQuery.params, ...fromBody.params],
    authorization: headers.authorization ?? '',
    ...(error && { error }),
  }
}
