import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { Problem } from '../problem/problem.ts'

/** Bytes that have arrived and cannot be fetched yet. */
export type Draft = {
  /** Up to so many of the bytes from `start` on; fewer at the end. */
  read(start: number, length: number): Promise<Uint8Array>
  /** Makes them a file under this id: whole, or not at all. */
  commit(id: string): Promise<void>
  /** Deletes them; does nothing after `commit`, or a second time. */
  discard(): Promise<void>
}

/** Where the bytes of files are kept, each under its id. Verbs reject with a `MediaStoreError`. */
export type MediaBytes = {
  /** Writes a stream to its end, and never holds it whole in memory; a stream that fails leaves nothing. */
  draft(source: Readable): Promise<Draft>
  /** The bytes from `start` to `end`, both included; `undefined` if there is no such file. */
  read(id: string, range: { start: number; end: number }): Promise<Readable | undefined>
  remove(id: string): Promise<void>
  /** Every file, with the time when it was written in epoch milliseconds, and its size. */
  list(): AsyncIterable<{ id: string; writtenAt: number; bytes: number }>
  /** Deletes what uploads of dead processes have left. */
  tidy(): Promise<void>
}

/** A file id, as the ledger makes it. */
export const isId = (name: string) => /^[0-9a-f-]{36}$/.test(name)

/** The media store cannot do it now; `cause` is a short code and never a value. */
export class MediaStoreError extends Error {
  override readonly name = 'MediaStoreError'
  declare readonly cause: 'full' | 'failed'
  readonly code: string
  constructor(cause: 'full' | 'failed', code = 'unknown') {
    super(`The media store is ${cause === 'full' ? 'full' : 'out of order'} (${code})`, { cause })
    this.code = code
  }
}

const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'QuotaExceeded'])

/** An error of a disk or of S3 without what it may repeat. */
export function mediaStoreError(error: unknown): MediaStoreError {
  if (error instanceof MediaStoreError) return error
  const { code, name } = error as { code?: unknown; name?: unknown } // a system error has a code, one of S3 a name
  const word = [code, name].find((value): value is string => typeof value === 'string' && /^\w{1,40}$/.test(value))
  return new MediaStoreError(full.has(String(word)) ? 'full' : 'failed', word)
}

/** What a caller may know of an error of the media store; any other error stays what it is. */
export function asProblem(error: unknown): unknown {
  if (!(error instanceof MediaStoreError)) return error
  if (error.cause === 'full') return new Problem('media-full', { detail: 'The disk of the media store is full.', cause: error })
  return new Problem('store-unavailable', { detail: 'The media store does not take or give files now.', cause: error })
}

/** Work on a disk or in S3, which rejects with a `MediaStoreError`. */
export const safely = <T>(work: Promise<T>): Promise<T> =>
  work.catch(error => {
    throw mediaStoreError(error)
  })

/** What `Draft.read` promises, of a file that is open. */
export async function bytesAt(handle: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, start)
  return buffer.subarray(0, bytesRead)
}
