import { failures, faults } from '../afilnet/faults.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { invalidParameter } from '../problem/invalid-request.ts'
import { unlistedCodeDetail } from '../problem/of-upstream.ts'
import { Problem, problemBody } from '../problem/problem.ts'
import type { Kind } from './openapi-errors.ts'

const sendId = '019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b'
const ids = { requestId: 'Xq3vT0c8Zk', instance: '0b0f3a3e-8a58-4a4d-9d2c-6f6c2f5f0f5b' }

/** A send gets its row before Afilnet is called. These are decided earlier. */
const beforeRow = new Set<ProblemCode>(['overloaded', 'upstream-circuit-open', 'payload-too-large'])
const ofRow = new Set<ProblemCode>(['idempotency-key-in-use', 'idempotency-key-reused', 'send-interrupted', 'internal-error'])

const unknownParameter = invalidParameter('query', 'limt', 'is not known; this operation takes no parameters')

/** The body of an error as the gateway sends it to such a request. */
export function exampleOf(code: ProblemCode, kind: Kind, base: string) {
  if (code === 'invalid-request') {
    const invalid = kind === 'send' ? invalidParameter('header', 'idempotency-key', 'occurs 2 times; send it once') : unknownParameter
    return problemBody(invalid, { base, ...ids })
  }
  const [upstreamCode, fault] = Object.entries({ ...faults, ...failures }).find(([, fault]) => fault.code === code) ?? []
  const ofAfilnet = upstreamCode !== undefined && upstreamCode in faults
  const isUnknown =
    code === 'internal-error' || code === 'send-interrupted' || code === 'idempotency-key-in-use' || fault?.outcome === 'unknown'
  const hasRow = kind === 'send' && (ofRow.has(code) || (fault !== undefined && !beforeRow.has(code)))
  const pointer = fault && 'pointer' in fault ? fault.pointer : undefined
  const problem = new Problem(code, {
    outcome: (kind === 'send' || (kind === 'unread' && code !== 'internal-error')) && isUnknown ? 'unknown' : 'not_applied',
    keyed: kind === 'send',
    ...(code === 'media-not-found' && kind === 'send' && { status: 422 }),
    ...(ofAfilnet && { upstreamCode }),
    ...(code === 'upstream-unknown-error' && {
      upstreamCode: 'NOT_ACCESS_TO_TEMPLATE',
      detail: unlistedCodeDetail('NOT_ACCESS_TO_TEMPLATE'),
    }),
    ...(pointer !== undefined && { errors: [{ pointer, detail: 'refused by Afilnet' }] }),
    ...(hasRow && { sendId }),
  })
  return problemBody(problem, { base, ...ids })
}
