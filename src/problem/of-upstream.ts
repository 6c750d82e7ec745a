import { UpstreamError } from '../afilnet/faults.ts'
import type { ProblemCode } from './catalogue.ts'
import { Problem } from './problem.ts'

/** Says what an error means to the caller; what is none of ours is a fault of ours, of unknown outcome. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (!(error instanceof UpstreamError)) return new Problem('internal-error', { outcome: 'unknown', cause: error })
  const { fault, outcome, upstreamCode, retryAfterS } = error
  const errors = fault.pointer === undefined ? undefined : [{ pointer: fault.pointer, detail: 'refused by Afilnet' }]
  return new Problem(fault.code as ProblemCode, { outcome, upstreamCode, retryAfterS, errors }) // a test holds faults to the catalogue
}
