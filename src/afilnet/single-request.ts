import { Client } from '../lib/undici.ts'
import type { Connector } from './connector.ts'
import { decodeContent } from './content-coding.ts'
import { commonHeaders } from './transports.ts'

type SingleRequest = {
  url: URL
  connect: Connector
  method: 'GET' | 'POST'
  headers: Record<string, string>
  body?: string
  timeoutMs: number
  maxBytes: number
}

type SingleResponse = { status: number; headers: Record<string, string | string[] | undefined>; bytes: Buffer }

class UnusableResponse extends Error {}

/**
 * One request beside the calls of an account, for a token or a WSDL: a connection of its own, one deadline, no redirect.
 *
 * Rejects with undici's errors, whose messages may hold anything, or with an `UnusableResponse`.
 */
export async function requestOnce({ url, connect, timeoutMs, maxBytes, body, ...request }: SingleRequest): Promise<SingleResponse> {
  const client = new Client(url.origin, {
    connect,
    allowH2: false,
    maxResponseSize: maxBytes,
    headersTimeout: 0, // the deadline ends it, a drip included
    bodyTimeout: 0,
  })
  // An abort would not end a request that still connects.
  const timer = setTimeout(() => void client.destroy(new UnusableResponse('took too long')), timeoutMs)
  try {
    const headers = { ...request.headers, ...commonHeaders }
    const response = await client.request({ ...request, headers, path: url.pathname + url.search, body: body ?? null })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    const content = decodeContent(bytes, response.headers['content-encoding'], maxBytes)
    if (!Buffer.isBuffer(content)) throw new UnusableResponse('cannot be decoded')
    return { status: response.statusCode, headers: response.headers, bytes: content }
  } finally {
    clearTimeout(timer)
    void client.destroy()
  }
}
