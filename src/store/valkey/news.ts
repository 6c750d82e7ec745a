import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerPlace } from '../url.ts'
import { connectToWait, type Reply } from './connection.ts'
import { prefix } from './lua.ts'

const againMs = 1_000

type Watch = {
  place: ServerPlace
  accounts: readonly string[]
  /** The newest position of each account. */
  lastOf(accounts: readonly string[]): Promise<string[]>
  onNews(account: string): void
}

/**
 * Waits on the server for new entries of the accounts' streams, on a connection of its own; returns how to stop.
 *
 * After each time that it could not wait it reports every account: it may have missed something.
 */
export function watchStreams({ place, accounts, lastOf, onNews }: Watch): () => void {
  const connection = connectToWait(place)
  const streams = accounts.map(account => `${prefix}events:${account}`)
  let stopped = false

  async function run() {
    let after: string[] | undefined
    while (!stopped) {
      try {
        if (!after) {
          after = await lastOf(accounts)
          for (const account of accounts) onNews(account)
        }
        const found = ((await connection.wait(streams, after)) ?? []) as [stream: string, entries: [id: string, fields: Reply][]][]
        if (stopped) return
        for (const [stream, entries] of found) {
          const n = streams.indexOf(stream)
          after[n] = entries.at(-1)?.[0] ?? '0'
          onNews(accounts[n] ?? '')
        }
      } catch {
        after = undefined
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
