import { type StoreFault, StoreUnavailableError, StoreVersionError } from '../store.ts'
import { schemaVersion } from './lua.ts'

/** Our words for what a server answers, by its own first word. */
const faults: Record<string, StoreFault> = {
  OOM: 'full',
  READONLY: 'readonly',
  NOREPLICAS: 'readonly',
  MISCONF: 'io',
  BUSY: 'busy',
  LOADING: 'busy',
  TRYAGAIN: 'busy',
  MASTERDOWN: 'away',
  UNBLOCKED: 'away',
  NOAUTH: 'denied',
  NOPERM: 'denied',
  WRONGPASS: 'denied',
  WRONGTYPE: 'corrupt',
}

/** An error of the client carries the command with its arguments, the password among them: nothing of it goes on but this. */
export function faultOf(error: unknown): StoreFault {
  const { message, command } = error as { message?: string; command?: unknown } // whatever ioredis throws
  const word = /^(?:Ready check failed: )?([A-Z]+)\b/.exec(message ?? '')?.[1] ?? ''
  if (message?.startsWith('Socket timeout')) return 'busy'
  if (word === 'ERR' && /AUTH|password|user executing the script|DB index|SELECT/.test(message ?? '')) return 'denied'
  return faults[word] ?? (word === 'ERR' && command ? 'io' : 'away')
}

/** What was sent before it has reached the server. */
export function unconfirmed(error: unknown): never {
  throw new StoreUnavailableError(faultOf(error), true)
}

/** Throws the error of a call as one of the store. */
export function rejected(error: unknown): never {
  if (error instanceof StoreUnavailableError) throw error
  const newer = /^NEWERSCHEMA (\d+)/.exec((error as Error).message)?.[1] // as the scripts say it
  if (newer) throw new StoreVersionError(`The store has schema version ${newer}, this release knows ${schemaVersion}`)
  throw new StoreUnavailableError(faultOf(error), (error as Error).name !== 'ReplyError') // a script that is refused has not begun
}
