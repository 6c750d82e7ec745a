import { access, constants } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { MediaBytes } from './bytes.ts'
import type { MediaPlace } from './place.ts'

/** Opens a place; the AWS SDK is loaded only if it is in S3. */
export async function openBytes(place: MediaPlace): Promise<MediaBytes> {
  if (place.kind === 's3') return (await import('./s3.ts')).openBucket(place)
  return (await import('./folder.ts')).openFolder(place.path)
}

/** Which setting names a folder that uploads cannot be written to, and why; a folder that is not there yet needs a parent that can be written to. */
export async function folderFault(place: MediaPlace): Promise<{ setting: 'MEDIA_STORE' | 'TMPDIR'; fault: string } | undefined> {
  const setting = place.kind === 'folder' ? 'MEDIA_STORE' : 'TMPDIR' // uploads to S3 are spooled
  for (let path = resolve(place.kind === 'folder' ? place.path : tmpdir()); ; path = dirname(path)) {
    // With the dot, a file is ENOTDIR, whatever its mode.
    const fault = await access(`${path}/.`, constants.W_OK | constants.X_OK).then(
      () => undefined,
      ({ code = 'unknown' }: NodeJS.ErrnoException) => code,
    )
    if (fault === undefined) return undefined
    if (fault !== 'ENOENT' || place.kind === 's3' || dirname(path) === path) return { setting, fault }
  }
}
