import { invalidParameter } from '../problem/invalid-request.ts'
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
export const refuseMalformed: Check = ({ raw: { headers, rawHeaders, httpVersion, url = '' } }) => {
  const { host, expect, 'transfer-encoding': coding } = headers
  const isOld = httpVersion === '1.0'
  if (url.length > maxTargetBytes) return new Problem('uri-too-long') // ASCII: Node refuses other bytes
  if (httpVersion !== '1.1' && !isOld)
    return new Problem('invalid-request', { detail: `HTTP/${httpVersion} is not supported: use HTTP/1.1.` })
  const repeated = repeatedHeader(rawHeaders)
  if (repeated !== undefined) return invalidParameter('header', repeated, 'occurs more than once; send it once')
  if (host === undefined && !isOld) return invalidParameter('header', 'host', 'is missing; HTTP/1.1 requires it')
  if (host !== undefined && !hostPattern.test(host))
    return invalidParameter('header', 'host', 'is not a host name or address with an optional port')
  if (coding !== undefined && isOld) return invalidParameter('header', 'transfer-encoding', 'does not exist in HTTP/1.0')
  if (coding !== undefined && coding.toLowerCase() !== 'chunked')
    return invalidParameter('header', 'transfer-encoding', 'is not chunked, the only coding that is accepted')
  if (expect === undefined || isOld || expect.toLowerCase() === '100-continue') return undefined
  return new Problem('expectation-failed')
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
