import type { SendRow, Settlement } from '../store.ts'
import type { Reply } from './connection.ts'

/** The members of an object as a script takes them: names and values in turn, without those that are undefined. */
export const fieldsOf = (members: object) => Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))

/** Names and values in turn, as a server answers them, by pairs. */
export const pairsOf = (flat: readonly string[]) =>
  Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n] ?? '', flat[2 * n + 1] ?? ''] as const)

const numbers = new Set(['createdAt', 'settledAt', 'deliveryAt', 'dueAt', 'expiresAt', 'startedAt'])

// A hash has the members of SendRow, as texts; those of a later release besides
export function toRow(flat: Reply | undefined): SendRow {
  const row: Record<string, string | number> = {}
  for (const [name, value] of pairsOf(flat as string[])) row[name] = numbers.has(name) ? Number(value) : value
  return row as SendRow
}

/** The answer of a script that ends a send. */
export const settlementOf = ([settled, row]: Reply[]): Settlement => ({ settled: settled === 1, ...(row && { row: toRow(row) }) })
