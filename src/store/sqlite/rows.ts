import type { NewSend, SendRow } from '../store.ts'

/** The columns of a row, in the order in which rows travel between the threads. */
export const columns =
  'caller account id user kind platform platformId destination reference idempotencyKey fingerprint state owner createdAt settledAt answer actor'.split(
    ' ',
  ) as (keyof SendRow)[] // a list of its members

/** A row on its way between the threads: the values of its columns. */
export type FlatRow = (string | number | null)[]

export const flatten = (row: NewSend | SendRow): FlatRow => columns.map(column => (row as SendRow)[column] ?? null)

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
