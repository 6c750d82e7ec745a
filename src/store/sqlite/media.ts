import type { MediaRow } from '../media.ts'
import { type FlatRow, membersOf } from './rows.ts'
import type { VerbContext } from './verb-context.ts'

/** The columns of a file, in the order in which rows travel between the threads. */
export const fileColumns = membersOf<MediaRow>(
  'id token owner platform platformId destination sendId type contentType bytes sha256 name createdAt expiresAt',
)

const all = fileColumns.join(', ')
const pageRows = 1_000
const insert = `INSERT INTO media (${all}) VALUES (${fileColumns.map(() => '?')}) ON CONFLICT DO NOTHING`

/** Verbs of files that write; triggers keep the sum of their bytes. */
export const mediaWrites = {
  addFile: ({ file }: VerbContext, row: FlatRow, bytes: number, maxBytes: number | null): boolean => {
    const used = Number(file.row('SELECT bytes FROM mediaUsage')?.[0])
    return (maxBytes === null || used + bytes <= maxBytes) && file.run(insert, ...row) > 0
  },

  keepFiles({ file }: VerbContext, ids: readonly string[], until: number) {
    for (const id of ids) file.run('UPDATE media SET expiresAt = ? WHERE id = ? AND expiresAt < ?', until, id, until)
  },

  shareFile: ({ file }: VerbContext, id: string): boolean => file.run('UPDATE media SET sendId = NULL WHERE id = ?', id) > 0,

  removeFilesOf: ({ file }: VerbContext, sendId: string): string[] =>
    file.rows('DELETE FROM media WHERE sendId = ? RETURNING id', sendId).map(String),

  removeFiles({ file }: VerbContext, ids: readonly string[]) {
    for (const id of ids) file.run('DELETE FROM media WHERE id = ?', id)
  },
}

/** Verbs of files that read. */
export const mediaReads = {
  findFile: ({ file, trusted }: VerbContext, by: 'id' | 'token', value: string): FlatRow | undefined =>
    file.row(`SELECT ${all} FROM media WHERE ${by} = ? AND expiresAt > ?`, value, trusted),

  expiredFiles: ({ file, trusted, mayDelete }: VerbContext): string[] =>
    mayDelete ? file.rows(`SELECT id FROM media WHERE expiresAt <= ? ORDER BY expiresAt LIMIT ${pageRows}`, trusted).map(String) : [],

  fileUsage: ({ file }: VerbContext): number[] => (file.row('SELECT files, bytes FROM mediaUsage') ?? []).map(Number),

  dumpFiles: ({ file }: VerbContext, after: string): FlatRow[] =>
    file.rows(`SELECT ${all} FROM media WHERE id > ? ORDER BY id LIMIT ${pageRows}`, after),
}
