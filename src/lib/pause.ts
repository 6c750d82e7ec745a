import { setTimeout as sleep } from 'node:timers/promises'

/** Waits, but not beyond the signal. Never rejects. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
