import type { Events } from '../events.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'

type Result = Events['uploadEnded']['result']

const results: { [C in ProblemCode]?: Result } = {
  'media-full': 'full',
  'payload-too-large': 'too-large',
  'request-timeout': 'aborted',
  'store-unavailable': 'failed',
  'internal-error': 'failed',
  overloaded: 'failed',
}

/** How an upload ended that has met this error. */
export function resultOf(error: unknown): Result {
  if (error instanceof Problem) return results[error.code] ?? 'refused'
  const { statusCode = 500 } = error as { statusCode?: number } // Fastify's refusals have one
  return statusCode < 500 ? 'refused' : 'failed'
}
