import type { MediaBytes } from './bytes.ts'
import type { MediaPlace } from './place.ts'

/** Opens a place; the AWS SDK is loaded only if it is in S3. */
export async function openBytes(place: MediaPlace): Promise<MediaBytes> {
  if (place.kind === 's3') return (await import('./s3.ts')).openBucket(place)
  return (await import('./folder.ts')).openFolder(place.path)
}
