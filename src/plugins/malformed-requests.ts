import type { FastifyRequest } from 'fastify'
import { Problem } from '../problem/problem.ts'
import type { Check } from './request-steps.ts'

const maxTargetBytes = 8_192

/** Of several, Node keeps the first one only, so that a proxy in front may have seen another request. */
const singleHeaders = new Map([
  ['host', 1],
  ['authorization', 2],
  ['content-type', 4],
])

/** A host with an optional port. */
const hostPattern = /^(\[[0-9a-f:.]+\]|[\w.~!$&'()*+,;=%-]+)(:\d{0,5})?$/i

/** Refuses what Node lets pass or answers without a problem document. */
export const refuseMalformed: Check = request => {
  const { headers, httpVersion, url = '' } = request.raw
  if (url.length * 3 > maxTargetBytes && Buffer.byteLength(url) > maxTargetBytes) return new Problem('uri-too-long')
  const issue = issueOf(request.raw)
  if (issue !== undefined) return new Problem('invalid-request', { detail: issue })
  const { expect } = headers
  if (expect === undefined || httpVersion === '1.0' || expect.toLowerCase() === '100-continue') return undefined
  return new Problem('expectation-failed')
}

function issueOf({ headers, rawHeaders, httpVersion }: FastifyRequest['raw']): string | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return `HTTP/${httpVersion} is not supported: use HTTP/1.1`
  const repeated = repeatedHeader(rawHeaders)
  if (repeated !== undefined) return `The header ${repeated} occurs more than once`
  const { host } = headers
  if (host === undefined && httpVersion === '1.1') return 'HTTP/1.1 requires the header host'
  if (host !== undefined && !hostPattern.test(host)) return 'The header host must be a host name or address with an optional port'
  const coding = headers['transfer-encoding']
  if (coding === undefined) return undefined
  if (httpVersion === '1.0') return 'HTTP/1.0 does not know the header transfer-encoding'
  return coding.toLowerCase() === 'chunked' ? undefined : 'The header transfer-encoding must be chunked'
}

function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  let seen = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    const bit = singleHeaders.get(name) ?? 0
    if (seen & bit) return name
    seen |= bit
  }
  return undefined
}
