import type { MediaLedger, MediaRow } from '../media.ts'
import { fileColumns } from './media.ts'
import type { FlatRow } from './rows.ts'
import type { Thread } from './thread.ts'

/** The files of a ledger in SQLite. */
export function createMediaLedger(writer: Thread, reader: Thread): MediaLedger {
  const add = (row: MediaRow, maxBytes: number | null) =>
    writer.call('addFile', [fileColumns.map(column => row[column] ?? null), row.bytes, maxBytes])
  const found = async (by: 'id' | 'token', value: string) => {
    const flat = await reader.call('findFile', [by, value])
    return flat && toRow(flat)
  }
  return {
    add,
    find: id => found('id', id),
    findByToken: token => found('token', token),
    keepUntil: (ids, until) => writer.call('keepFiles', [ids, until]),
    share: id => writer.call('shareFile', [id]),
    removeOf: sendId => writer.call('removeFilesOf', [sendId]),
    remove: ids => writer.call('removeFiles', [ids]),
    expired: () => reader.call('expiredFiles', []),
    /** By the thread that runs anyway: every gateway asks at its start. */
    async usage() {
      const [files = 0, bytes = 0] = await writer.call('fileUsage', [])
      return { files, bytes }
    },
    dump: async (after = '') => (await reader.call('dumpFiles', [after], true)).map(toRow),
    load: row => add(row, null),
  }
}

const toRow = (flat: FlatRow) =>
  Object.fromEntries(fileColumns.flatMap((column, n) => (flat[n] === null ? [] : [[column, flat[n]]]))) as MediaRow // the columns are its members
