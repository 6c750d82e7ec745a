import type { Events, Observe } from '../events.ts'
import { type MediaBytes, MediaStoreError } from './bytes.ts'

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
      read: (id, range) => bytes.read(id, range).catch(report('read')),
      remove: id => bytes.remove(id).catch(report('delete')),
    }
  }
}
