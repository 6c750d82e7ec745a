import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isRunning } from '../lib/running-process.ts'
import { bytesAt, isId, type MediaBytes, mediaStoreError, safely } from './bytes.ts'

/**
 * An older draft is dead, even if a process has its number: in a container the next process has the number of the last one. An upload ends
 * after five minutes at most, in which a file may wait for the rest of its form, and for five more it may wait for its turn.
 */
const deadMs = 900_000

let drafts = 0

/** Files in one folder: what is still arriving has a name of its own, which tells the process. */
export async function openFolder(folder: string): Promise<MediaBytes> {
  const at = (name: string) => join(folder, name)

  const bytes: MediaBytes = {
    async draft(source) {
      await safely(mkdir(folder, { recursive: true, mode: 0o700 }))
      const path = at(`${process.pid}-${Date.now()}-${++drafts}.part`)
      await write(source, path)
      const read = async (start: number, length: number) => {
        const handle = await open(path, 'r')
        return bytesAt(handle, start, length).finally(() => handle.close())
      }
      return {
        read: (start, length) => safely(read(start, length)),
        commit: id => safely(rename(path, at(id)).then(() => syncFolder(folder))),
        discard: () => safely(rm(path, { force: true })),
      }
    },
    async read(id, range) {
      const handle = await safely(open(at(id), 'r').catch(unlessMissing))
      return handle?.createReadStream(range)
    },
    remove: id => safely(rm(at(id), { force: true })),
    async *list() {
      for (const id of (await safely(readdir(folder).catch(unlessMissing))) ?? []) {
        const found = isId(id) ? await safely(stat(at(id)).catch(unlessMissing)) : undefined
        if (found) yield { id, writtenAt: found.mtimeMs, bytes: found.size }
      }
    },
    async tidy() {
      for (const name of (await safely(readdir(folder).catch(unlessMissing))) ?? []) {
        const pid = /^(\d+)-\d+-\d+\.part$/.exec(name)?.[1]
        if (pid === undefined) continue
        const found = await stat(at(name)).catch(() => undefined)
        if (found && (!isRunning(Number(pid)) || found.mtimeMs < Date.now() - deadMs)) await safely(rm(at(name), { force: true }))
      }
    },
  }
  await bytes.tidy()
  return bytes
}

/** On the disk before it counts as there; what fails leaves nothing. */
async function write(source: Readable, path: string) {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true })
  const opened = { fault: undefined as unknown }
  file.on('error', error => {
    if (error !== source.errored) opened.fault = error // not the sender's, with which the file ends too
  })
  try {
    await pipeline(source, file)
  } catch (error) {
    await rm(path, { force: true }).catch(() => {})
    throw opened.fault === error ? mediaStoreError(error) : error
  }
}

async function syncFolder(folder: string) {
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
