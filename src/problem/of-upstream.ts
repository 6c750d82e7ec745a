import { failures, UpstreamError } from '../afilnet/faults.ts'
import type { ProblemCode } from './catalogue.ts'
import { Problem } from './problem.ts'

/** Says what an error means to the caller. An error of an unknown kind is an internal fault with an unknown outcome. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (!(error instanceof UpstreamError)) return new Problem('internal-error', { outcome: 'unknown', cause: error })
  const { fault, outcome, upstreamCode, retryAfterS, foreignField } = error
  const errors = fault.pointer === undefined ? undefined : [{ pointer: fault.pointer, detail: 'refused by Afilnet' }]
  return new Problem(fault.code as ProblemCode, {
    outcome,
    upstreamCode,
    retryAfterS,
    errors,
    detail: foreignField
      ? foreignDetail(foreignField)
      : fault.code === 'upstream-unknown-error'
        ? unlistedCodeDetail(upstreamCode)
        : fault === failures.notWritable
          ? 'The request has a control character, which SOAP cannot carry to Afilnet. Remove it.'
          : undefined,
  }) // a test holds faults to the catalogue
}

const foreignDetail = (field: string) =>
  `Afilnet answered with a row of another chat: its ${field} is not the one asked for. The gateway delivered nothing of that answer.`

export const unlistedCodeDetail = (upstreamCode: string | undefined) =>
  `Afilnet answered with ${upstreamCode === undefined ? 'an error without a readable code' : `the error code ${upstreamCode}`}, which its manual does not list. Ask the operator.`
