import type { StoreFault } from './store.ts'
import { readStoreUrl } from './url.ts'

/** What is the matter, and what to do about it. */
export type Advice = Record<StoreFault, [detail: string, todo: string]>

export const fileAdvice: Advice = {
  limit: ['it is larger than STORE_MAX_MB, so every send gets 503', 'Raise STORE_MAX_MB or lower SENDS_KEEP_HOURS'],
  full: ['the disk is full', 'Make room on the disk; the gateway recovers without a restart'],
  readonly: [
    'it cannot be read or written',
    'Give the user of the gateway the right to read and write the file, its -wal and -shm, and their folder',
  ],
  corrupt: ['it is damaged, or no database', 'Put it aside with its -wal and -shm, and start with a copy or without'],
  busy: ['another process has kept it locked', 'See which process does: a backup that locks the file, or a disk that hangs'],
  io: ['the disk or the path failed', 'Check the path and the log of the system'],
  version: ['it belongs to a newer release or to another program', 'Install the newer release, or set STORE_URL to another file'],
  changed: [
    'it is another ledger, or an old copy, than the one that this gateway worked with, so it may have forgotten keys',
    'Read "GatewayLedgerChanged" in docs/runbook.md, then run: npm run -s store -- accept',
  ],
  worker: ['its thread died', 'Give the process more memory'],
  away: ['it is not there', 'Check STORE_URL'],
  denied: ['it refuses us', 'Check STORE_URL'],
  closed: ['it was closed', 'Try again'],
}

export const serverAdvice: Advice = {
  ...fileAdvice,
  full: ['the memory of the server is full', 'Raise its maxmemory, or lower STORE_MAX_MB and SENDS_KEEP_HOURS'],
  readonly: [
    'the server takes no writes',
    'Name the primary in STORE_URL, or its Sentinels; see min-replicas-to-write if it has no replica',
  ],
  corrupt: [
    'keys are gone, or are not what they were',
    'See who else writes to that database, and whether the server evicts (maxmemory-policy)',
  ],
  busy: ['it does not answer in time', 'See what the server is at: SLOWLOG, the log of the server, its disk'],
  io: [
    'the server cannot do it',
    'Read the log of the server: its disk may be full or gone, or its clients too many (maxclients); it must be Valkey, or Redis 7.0 or later',
  ],
  away: [
    'it cannot be reached',
    'Check host, port, network and TLS (NODE_EXTRA_CA_CERTS for a CA of your own), and for Sentinel the name of the primary',
  ],
  denied: [
    'it refuses our user, password, database or commands',
    'Check user, password and database in STORE_URL, and the rights of that user (ACL LIST)',
  ],
}

/** For the store that a URL names. */
export const adviceFor = (url: string): Advice => (readStoreUrl(url)?.kind === 'server' ? serverAdvice : fileAdvice)
