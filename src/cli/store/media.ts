import { existsSync } from 'node:fs'
import { normalizeDestination } from '../../access.ts'
import { MediaStoreError } from '../../media/bytes.ts'
import { openBytes } from '../../media/open.ts'
import type { MediaPlace } from '../../media/place.ts'
import { type MediaRow, mediaRows } from '../../store/media.ts'
import { CommandError, type Ledger, type Print } from './ledger.ts'

const minuteMs = 60_000

/** Every row of a file. */
export const filesOf = (ledger: Ledger): AsyncGenerator<MediaRow> =>
  mediaRows({ dump: after => ledger.media.dump(after).catch(ledger.fail) })

export const isOf = (destination: string, { platform = '', destination: own }: MediaRow) =>
  own !== undefined && own === normalizeDestination(platform, destination)

/** Compares the files of the ledger with those of the media store; resolves with whether each has its bytes. */
export async function checkMedia(ledger: Ledger, place: MediaPlace, print: Print): Promise<boolean> {
  const { files, bytes } = await ledger.media.usage().catch(ledger.fail)
  if (files === 0 && !(place.kind === 'folder' && existsSync(place.path))) return true
  const before = Date.now() - minuteMs // a file that is being stored has its row first
  const stored = new Map<string, number>()
  await inStore(async () => {
    for await (const file of (await openBytes(place)).list()) stored.set(file.id, file.bytes)
  })
  const found = { lost: 0, damaged: 0, expired: 0 }
  for await (const row of filesOf(ledger)) {
    const size = stored.get(row.id)
    stored.delete(row.id)
    if (row.expiresAt <= Date.now()) found.expired++
    else if (size === undefined) found.lost += Number(row.createdAt < before)
    else if (size !== row.bytes) found.damaged++
  }
  await print(`files       ${files}
  bytes     ${bytes}
  expired   ${found.expired} that the next sweep of a gateway deletes
  lost      ${found.lost} whose bytes are not in MEDIA_STORE
  damaged   ${found.damaged} of another size than they were stored with
  unknown   ${stored.size} that only MEDIA_STORE has; a gateway deletes them once they are an hour old
`)
  return found.lost + found.damaged === 0
}

/** Copies the rows of all files, and how long they live; their bytes stay in the media store. */
export async function copyMedia(source: Ledger, target: Ledger): Promise<number> {
  let copied = 0
  for await (const row of filesOf(source)) {
    if (await target.media.load(row).catch(target.fail)) copied++
    else {
      await target.media.keepUntil([row.id], row.expiresAt).catch(target.fail)
      if (row.sendId === undefined) await target.media.share(row.id).catch(target.fail) // since it was copied, perhaps
    }
  }
  return copied
}

/** Erases the files that were uploaded for a conversation with this person, their bytes first: a row without bytes can be erased again. */
export async function forgetMedia(ledger: Ledger, destination: string, place: MediaPlace): Promise<number> {
  const ids: string[] = []
  for await (const row of filesOf(ledger)) if (isOf(destination, row)) ids.push(row.id)
  if (ids.length === 0) return 0
  await inStore(async () => {
    const store = await openBytes(place)
    for (const id of ids) await store.remove(id)
  })
  await ledger.media.remove(ids).catch(ledger.fail)
  return ids.length
}

async function inStore(work: () => Promise<void>) {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof MediaStoreError)) throw error
    throw new CommandError(`MEDIA_STORE: ${error.message}. Run the command with the user, MEDIA_STORE and AWS credentials of the gateway`)
  }
}
