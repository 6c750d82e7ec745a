import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { bytesAt, isId, type MediaBytes, MediaStoreError, mediaStoreError, safely } from './bytes.ts'
import type { MediaPlace } from './place.ts'

const callMs = 10_000
const putMs = 120_000

/** The SDK would write warnings to standard error; callers and the log learn of failures all the same. */
const ignore = () => {}
const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }

/** By default the SDK opens 50 connections, and slow readers could hold them all. The number of callers is bounded elsewhere. */
const unbounded = { maxSockets: Number.POSITIVE_INFINITY }

/**
 * Files in a bucket, with the usual credentials of AWS.
 *
 * An upload is spooled to a file without a name, so that its length is known: S3 takes it in one request, whole or not at all, and a killed
 * process leaves nothing anywhere. Checksums in trailers are off: servers that are not AWS would store them as part of the file.
 */
export async function openBucket({ bucket, prefix, endpoint, region }: MediaPlace & { kind: 's3' }): Promise<MediaBytes> {
  const client = new S3Client({
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 3,
    logger: silent,
    requestHandler: { httpAgent: unbounded, httpsAgent: unbounded },
    ...(region && { region }),
    ...(endpoint && { endpoint, forcePathStyle: true }),
  })
  await client.config.region().catch(() => {
    throw new MediaStoreError('failed', 'NoRegion') // the SDK's own error has no name
  })
  const named = (id: string) => ({ Bucket: bucket, Key: `${prefix}${id}` })
  const timeout = (ms = callMs) => ({ abortSignal: AbortSignal.timeout(ms) })

  return {
    async draft(source) {
      const { handle, size, discard } = await spool(source)
      return {
        read: (start, length) => safely(bytesAt(handle, start, length)),
        async commit(id) {
          const limit = timeout(putMs)
          const put = () => {
            const Body = handle.createReadStream({ start: 0, autoClose: false })
            return client.send(new PutObjectCommand({ ...named(id), Body, ContentLength: size }), limit)
          }
          const { ETag } = await safely(put().catch(put)) // the SDK repeats no request whose body is a stream
          if (ETag === undefined) throw new MediaStoreError('failed', 'NoETag') // the SDK is content with any page of HTML
          await discard()
        },
        discard,
      }
    },
    async read(id, { start, end }) {
      const late = new AbortController() // S3 has to answer in time; how long the bytes take is up to their reader
      const timer = setTimeout(() => late.abort(), callMs)
      try {
        const command = new GetObjectCommand({ ...named(id), Range: `bytes=${start}-${end}` })
        const { Body } = await client.send(command, { abortSignal: late.signal })
        return Body as Readable // in Node
      } catch (error) {
        if (error instanceof Error && error.name === 'NoSuchKey') return undefined
        throw mediaStoreError(error)
      } finally {
        clearTimeout(timer)
      }
    },
    async remove(id) {
      await safely(client.send(new DeleteObjectCommand(named(id)), timeout()))
    },
    async *list() {
      for (let token: string | undefined, isMore = true; isMore; ) {
        const page = { Bucket: bucket, Prefix: prefix, ContinuationToken: token }
        const found = await safely(client.send(new ListObjectsV2Command(page), timeout()))
        const isList = found.IsTruncated === false || (found.IsTruncated && found.NextContinuationToken !== token)
        // The SDK reads any page of HTML as an empty list, by which all files would count as lost.
        if (!isList) throw new MediaStoreError('failed', 'NoList')
        for (const { Key = '', LastModified, Size = 0 } of found.Contents ?? []) {
          const id = Key.slice(prefix.length)
          if (isId(id)) yield { id, writtenAt: LastModified?.getTime() ?? 0, bytes: Size }
        }
        token = found.NextContinuationToken
        isMore = found.IsTruncated === true
      }
    },
    async tidy() {},
  }
}

/** Writes an upload to a file without a name; `discard` deletes the file, and may be called again, as `close` may. */
async function spool(source: Readable) {
  const handle = await safely(openNameless())
  const discard = () => handle.close().catch(() => {})
  let size = 0
  try {
    await pipeline(source, async chunks => {
      for await (const chunk of chunks as AsyncIterable<Buffer>) {
        await safely(handle.appendFile(chunk)) // a disk that fills may take a part of it without an error
        size += chunk.length
      }
    })
  } catch (error) {
    await discard()
    throw error
  }
  return { handle, size, discard }
}

/** A file that is gone as soon as it is closed, or as the process dies. */
async function openNameless() {
  const folder = await mkdtemp(join(tmpdir(), 'afilnet-media-'))
  try {
    return await open(join(folder, 'spool'), 'wx+', 0o600)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
