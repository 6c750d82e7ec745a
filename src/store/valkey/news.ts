import { setTimeout as sleep } from 'node:timers/promises'
import type { LogMark } from '../event-log.ts'
import type { ServerPlace } from '../url.ts'
import { connectToWait, type Reply } from './connection.ts'
import { prefix } from './lua.ts'

const againMs = 1_000
const lookMs = 2_000

type Watch = {
  place: ServerPlace
  accounts: readonly string[]
  /** Which log each account has, and its newest position. */
  marksOf(accounts: readonly string[]): Promise<LogMark[]>
  onNews(account: string): void
}

/**
 * Waits on the server for new entries of the accounts' streams, on a connection of its own; returns how to stop.
 *
 * After each time that it could not wait it reports every account: it may have missed something. A log in the place of another one has no
 * entry to wait for until something happens, so it also compares the marks.
 */
export function watchStreams({ place, accounts, marksOf, onNews }: Watch): () => void {
  const connection = connectToWait(place)
  const streams = accounts.map(account => `${prefix}events:${account}`)
  let stopped = false

  async function run() {
    let after: string[] = []
    let known: string[] = []
    let lookAt = 0
    while (!stopped) {
      try {
        if (performance.now() >= lookAt) {
          const before = known
          const marks = await marksOf(accounts)
          known = marks.map(({ identity, last }) => `${identity} ${last}`)
          after = marks.map(({ last }) => String(last))
          lookAt = performance.now() + lookMs
          for (const [n, account] of accounts.entries()) if (known[n] !== before[n]) onNews(account)
        }
        const found = ((await connection.wait(streams, after)) ?? []) as [stream: string, entries: [id: string, fields: Reply][]][]
        if (stopped) return
        for (const [stream, entries] of found) {
          const n = streams.indexOf(stream)
          after[n] = entries.at(-1)?.[0] ?? '0'
          onNews(accounts[n] ?? '')
        }
      } catch {
        known = []
        lookAt = 0
        await sleep(againMs, undefined, { ref: false })
      }
    }
  }
  void run()
  return () => {
    stopped = true
    connection.close()
  }
}
