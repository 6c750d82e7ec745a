import { randomBytes } from 'node:crypto'
import {
  type Archive,
  type Store,
  type StoreFault,
  type StoreListener,
  type StorePolicy,
  StoreUnavailableError,
  StoreVersionError,
  within,
} from '../store.ts'
import { createThread } from './thread.ts'

const openMs = 5_000

/** A file or `:memory:`; `busyMs` is how long a write waits for another process, at no cost to this one's event loop. */
export type SqliteOptions = StorePolicy & { path: string; maxBytes: number; busyMs?: number; onState?: StoreListener }

const sliceRows = 1000 // one slice holds up other writes for some 20 ms

/**
 * A ledger in one SQLite file, kept by worker threads: the event loop waits neither for a disk nor for a lock.
 *
 * Writes that queue up while one commit syncs are committed together by the next. Reads have a thread of their own, since a filter that
 * few rows match may take a second, which no send should wait for. A lost thread or file is replaced by the next call.
 */
export async function openSqlite({ now = Date.now, onState = () => {}, busyMs = 2000, ...rest }: SqliteOptions): Promise<Store & Archive> {
  let known: StoreFault | undefined
  function report(fault?: StoreFault) {
    if (fault !== known) onState(!fault, fault)
    known = fault
  }

  const settings = { ...rest, busyMs }
  const writer = createThread(settings, now, report)
  const reader = settings.path === ':memory:' ? writer : createThread(settings, now, report)

  const store: Store & Archive = {
    claim: (row, perDay) => writer.call('claim', row, perDay),
    settle: (id, outcome) => writer.call('settle', id, outcome),
    find: (caller, id) => reader.call('find', caller, id),
    list: (caller, filter) => reader.call('list', caller, filter),
    heartbeat: owner => writer.call('heartbeat', owner),
    release: owner => writer.call('release', owner),
    expireLeases: () => writer.call('expireLeases'),
    async deleteExpired() {
      const gone = await writer.call('deleteSlice', sliceRows)
      return gone < sliceRows ? gone : gone + (await store.deleteExpired())
    },
    secret: () => writer.call('secret', randomBytes(32)),
    async check() {
      const [found, commits] = await Promise.all([reader.call('inspect'), writer.call('commits')])
      return { ...found, commits }
    },
    dump: after => reader.call('dump', after),
    load: rows => writer.call('load', rows),
    adopt: secret => writer.call('adopt', secret),
    async forget(destination) {
      for (let gone = 0; ; ) {
        const slice = await writer.call('forgetSlice', destination, sliceRows)
        gone += slice.gone
        if (slice.gone === sliceRows) continue
        await writer.call('scrub')
        return { gone, pending: slice.pending }
      }
    },
    async close() {
      await Promise.all([reader.close(), writer.close()])
    },
  }

  // A disk that hangs must not hold up the start: the store is away until it answers.
  await within(openMs, writer.call('open')).catch(async error => {
    if (error instanceof StoreUnavailableError && !(error instanceof StoreVersionError)) return
    await store.close()
    throw error
  })
  return store
}
