import type { FastifyRequest } from 'fastify'
import { Problem } from '../problem/problem.ts'
import type { Check } from './request-steps.ts'

const maxTargetBytes = 8_192

/** Of several, Node keeps the first one only, so that a proxy in front may have seen another request. */
const singleHeaders = ['host', 'authorization', 'content-type']

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
  const repeated = singleHeaders.find(name => isRepeated(rawHeaders, name))
  if (repeated !== undefined) return `The header ${repeated} is there more than once`
  const { host } = headers
  if (host === undefined && httpVersion === '1.1') return 'HTTP/1.1 requires a Host header'
  if (host !== undefined && !hostPattern.test(host)) return 'The header Host is not a host with an optional port'
  const coding = headers['transfer-encoding']
  if (coding === undefined) return undefined
  if (httpVersion === '1.0') return 'HTTP/1.0 has no Transfer-Encoding'
  return coding.toLowerCase() === 'chunked' ? undefined : 'The header Transfer-Encoding must be "chunked"'
}

function isRepeated(rawHeaders: readonly string[], name: string) {
  let times = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const header = rawHeaders[i]
    if (header?.length === name.length && header.toLowerCase() === name) times++
  }
  return times > 1
}
