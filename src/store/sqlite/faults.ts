import { type StoreFault, StoreUnavailableError, StoreVersionError } from '../store.ts'

/** Primary result codes of SQLite, and codes of the system, that mean the store and not the call. */
const faults: Record<string, StoreFault> = {
  1: 'corrupt', // the statements are constant, so the schema is another one
  3: 'readonly',
  5: 'busy',
  6: 'busy',
  7: 'io',
  8: 'readonly',
  10: 'io',
  11: 'corrupt',
  13: 'full',
  14: 'io',
  15: 'busy',
  26: 'corrupt',
  EACCES: 'readonly',
  EPERM: 'readonly',
  EROFS: 'readonly',
  ENOSPC: 'full',
  EDQUOT: 'full',
}

/** Whether an error says that the store is out of order, and how; `undefined` for a fault of the call. */
export function faultOf(error: unknown): StoreFault | undefined {
  if (error instanceof StoreVersionError) return 'version'
  if (error instanceof StoreUnavailableError) return error.cause
  const { code, errcode, syscall } = error as { code?: string; errcode?: number; syscall?: string } // whatever node:sqlite and node:fs throw
  if (code === 'ERR_SQLITE_ERROR') return faults[Number(errcode) & 0xff]
  return syscall ? (faults[String(code)] ?? 'io') : undefined
}
