import { randomBytes, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { OpenedStore, StoreOptions } from '../adapter.ts'
import { createClock } from '../clock.ts'
import type { EventStore } from '../event-log.ts'
import type { SendRow, Settlement, Store, StoreFault } from '../store.ts'
import { beginsEmpty, StoreUnavailableError, StoreVersionError, within } from '../store.ts'
import { createTurns } from '../turns.ts'
import { createLive } from './live.ts'
import { createMediaLedger } from './media-ledger.ts'
import { type FlatRow, type FlatSettlement, flatten, flattenNew, toRow } from './rows.ts'
import { createThread, type Thread } from './thread.ts'

/** A file or `:memory:`; `busyMs` is how long a write waits for another process, at no cost to this one's event loop. */
export type SqliteOptions = StoreOptions & { path: string; busyMs?: number }

const thisProcess = `${hostname()} ${process.pid} ${randomUUID()}`
const openMs = 5_000
const sliceRows = 500 // one slice holds up other writes for some 10 ms
const deleteMax = 20_000 // never all of a large ledger at once: what else is expired waits for the next time

/**
 * A ledger in one SQLite file, kept by worker threads: the event loop waits neither for a disk nor for a lock.
 *
 * Writes that queue up while one commit syncs are committed together by the next. Reads have a thread of their own, where callers take
 * turns. A lost thread or file is replaced by the next call. Rejects with `StoreVersionError` if the file must not be touched.
 */
export async function openSqlite(options: SqliteOptions): Promise<OpenedStore> {
  const { now = Date.now, monotonic = () => performance.now(), onState = () => {}, onLedger = () => {}, onWarning = () => {} } = options
  const { path, maxBytes, busyMs = 1_500, silentMs, keepMs, keepUnknownMs, leaseMs } = options
  const clock = createClock(now, monotonic)
  let known: StoreFault | undefined
  function report(fault?: StoreFault) {
    if (fault !== known) onState(!fault, fault)
    known = fault
  }
  const settings = { path, maxBytes, busyMs, process: thisProcess, keepMs, keepUnknownMs, leaseMs }
  const common = { settings, clock, silentMs, report, onWarning }
  const writer = createThread({ ...common, onLedger, onLogged: account => logged(account) })
  const reader = path === ':memory:' ? writer : createThread(common)
  const { logged, ...live } = createLive(writer, reader)
  const store = createStore(writer, reader, live)

  // A disk that hangs must not hold up the start: the store is away until it answers.
  const opening = within(openMs, writer.call('open', []))
  const isNew = await opening.catch(async error => {
    if (error instanceof StoreUnavailableError && !(error instanceof StoreVersionError)) return false
    await store.close()
    throw error
  })
  if (isNew && path !== ':memory:') onWarning(beginsEmpty)
  return store
}

/** The verbs of the store, each as a call to one of its threads. */
function createStore(writer: Thread, reader: Thread, live: EventStore): OpenedStore {
  return {
    ...live,
    media: createMediaLedger(writer, reader),
    async claim(row, perDay, sealed) {
      const claim = await writer.call('claim', [
        flattenNew(row, sealed === undefined ? 'pending' : 'queued'),
        perDay ?? null,
        sealed ?? null,
      ])
      if (claim === 'claimed' || claim === 'quota') return { claimed: claim === 'claimed' }
      return { claimed: false, existing: toRow(claim) }
    },
    async settle({ caller, account, id }, { state, settledAt, answer, settledBy = null, note = null, late = false }) {
      return settlementOf(await writer.call('settle', [caller, account, id, state, settledAt, answer, settledBy, note, late]))
    },
    async takeDue(owner, places, running = new Map()) {
      const { due, expired, nextAt } = await writer.call('takeDue', [owner, places, running])
      return {
        due: due.map(([row, sealed, attempts]) => ({ row: toRow(row), sealed, attempts })),
        expired: expired.map(([account, kind, id]) => ({ account, kind: kind as SendRow['kind'], id })), // as the columns are
        ...(nextAt !== null && { nextAt }),
      }
    },
    pendingOf: async owner => (await reader.call('pendingOf', [owner])).map(([row, attempts]) => ({ row: toRow(row), attempts })),
    requeue: ({ caller, account, id }, nextAt, attempts) => writer.call('requeue', [caller, account, id, nextAt, attempts]),
    unqueue: async ({ caller, account, id }, outcome) => settlementOf(await writer.call('unqueue', [caller, account, id, outcome])),
    sealedByOthers: async keys => (await reader.call('sealedByOthers', [keys])).map(toRow),
    backlog: () => writer.call('backlog', []), // every gateway asks at its start, which should not start the other thread
    holdQueue: () => writer.call('holdQueue', []),
    releaseQueue: () => writer.call('releaseQueue', []),
    note: ({ caller, account, id }, finding) => writer.call('note', [{ caller, account, id }, finding]),
    takeLookups: async (accounts, limit) => (await writer.call('takeLookups', [accounts, limit])).map(toRow),
    conversation: async (of, since) => (await reader.call('conversation', [of, since])).map(toRow),
    recent: async (account, since) => (await reader.call('recent', [account, since])).map(toRow),
    async find({ caller, account }, id, cancellation) {
      if (cancellation?.reason) throw cancellation.reason
      const row = await reader.call('find', [caller, account, id])
      return row && toRow(row)
    },
    list: createList(reader),
    heartbeat: owner => writer.call('heartbeat', [owner]),
    release: owner => writer.call('release', [owner]),
    expireLeases: () => writer.call('expireLeases', []),
    async deleteExpired() {
      for (let deleted = 0; ; ) {
        const slice = await writer.call('deleteSlice', [sliceRows])
        deleted += slice
        if (slice < sliceRows || deleted >= deleteMax) return deleted
      }
    },
    secret: () => writer.call('secret', [randomBytes(32)]),
    accept: () => writer.call('accept', []),
    check: () => reader.call('inspect', [], true),
    async dump(after = '') {
      return (await reader.call('dump', [after], true)).map(toRow)
    },
    load: rows => writer.call('load', [rows.map(flatten)], true),
    adopt: secret => writer.call('adopt', [secret]),
    async forget(destination) {
      for (let gone = 0; ; ) {
        const slice = await writer.call('forgetSlice', [destination, sliceRows], true)
        gone += slice.gone
        if (slice.gone === sliceRows) continue
        await writer.call('scrub', [], true)
        return { gone, pending: slice.pending }
      }
    },
    async close() {
      await Promise.all([reader.close(), writer.close()])
    },
  }
}

const settlementOf = ([settled, row]: FlatSettlement): Settlement => ({ settled, ...(row && { row: toRow(row) }) })

/** Reads a page in steps, so that one long list does not hold up others. */
function createList(reader: Thread): Store['list'] {
  const turns = createTurns()
  return async ({ caller, account }, { limit, before = '~', ...filter }, cancellation) => {
    const found: FlatRow[] = []
    let from = before // every id is less than '~'
    do {
      const step = () => reader.call('list', [caller, account, filter, from, limit - found.length])
      const [rows, next] = await turns(caller, step, cancellation)
      found.push(...rows)
      from = next
    } while (from !== '' && found.length < limit)
    return found.map(toRow)
  }
}
