import type { NewSend, SendRow } from '../store.ts'

/** A list of members, which are columns too. */
export function membersOf<T>(names: string) {
  return names.split(' ') as (keyof T & string)[] // as they are called with
}

/** The columns that a claim fills. */
export const newColumns = membersOf<SendRow>(
  'caller account id user kind platform platformId destination reference idempotencyKey fingerprint textDigest state owner createdAt actor dueAt expiresAt',
)

/** The columns of a row, in the order in which rows travel between the threads. */
export const columns = [
  ...newColumns,
  ...membersOf<SendRow>('settledAt answer settledBy note messageId deliveryStatus deliveryAt startedAt'),
]

/** The columns, and which row is meant, as statements name them. */
export const all = columns.join(', ')
export const named = 'caller = ? AND account = ? AND id = ?'

/** A row on its way between the threads: the values of its columns. */
export type FlatRow = (string | number | null)[]

/** A `Settlement` on its way between the threads. */
export type FlatSettlement = [settled: boolean, row?: FlatRow | undefined]

export const flatten = (row: SendRow): FlatRow => columns.map(column => row[column] ?? null)

/** A row that is claimed. */
export const flattenNew = (row: NewSend, state: SendRow['state']): FlatRow =>
  newColumns.map(column => (column === 'state' ? state : ((row as SendRow)[column] ?? null)))

/** The row again; absent members are NULL. */
export function toRow(flat: FlatRow): SendRow {
  const row: Record<string, string | number> = {}
  for (let n = 0; n < columns.length; n++) {
    const value = flat[n]
    if (value !== null && value !== undefined) row[columns[n] as string] = value
  }
  return row as SendRow // the columns are its members
}

/** Where a column stands in a flat row. */
export const at = Object.fromEntries(columns.map((column, n) => [column, n])) as Record<keyof SendRow, number>
