import type { Events, Observe } from '../events.ts'
import type { ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'
import { type MediaBytes, MediaStoreError, mediaStoreError } from './bytes.ts'

/** Wraps the way to a media store so that each of its failures is reported. */
export function reportingFailures(open: () => Promise<MediaBytes>, observe: Observe): () => Promise<MediaBytes> {
  const report = (verb: Events['mediaStoreFailed']['verb']) => (error: unknown) => {
    if (error instanceof MediaStoreError) observe('mediaStoreFailed', { verb, fault: error.code })
    throw error
  }
  return async () => {
    const bytes = await open().catch(report('open'))
    return {
      ...bytes,
      async draft(source) {
        const draft = await bytes.draft(source).catch(report('write'))
        return {
          ...draft,
          read: (start, length) => draft.read(start, length).catch(report('read')),
          commit: id => draft.commit(id).catch(report('write')),
        }
      },
      async read(id, range) {
        const file = await bytes.read(id, range).catch(report('read'))
        return file?.once('error', error => observe('mediaStoreFailed', { verb: 'read', fault: mediaStoreError(error).code }))
      },
      remove: id => bytes.remove(id).catch(report('delete')),
    }
  }
}

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
