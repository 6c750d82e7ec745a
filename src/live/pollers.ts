import { AccountPoller, type AccountPollerOptions, type WatchedChannels } from './account-poller.ts'
import type { AfilnetReads } from './ports.ts'

type PollersOptions = Omit<AccountPollerOptions, 'account' | 'channels' | 'intervalMs' | 'after' | 'reads'> & {
  reads: (account: string) => AfilnetReads
}

/** The pollers of all accounts that watch channels. */
export class Pollers {
  readonly #options: PollersOptions
  readonly #pollers = new Map<string, { watched: string; poller: AccountPoller }>()

  constructor(options: PollersOptions) {
    this.#options = options
  }

  /** Polls these accounts as they are configured now; an account whose channels did not change goes on. */
  reload(accounts: Readonly<Record<string, WatchedChannels>>) {
    const stopped = new Map<string, Promise<void>>()
    for (const [account, { watched, poller }] of this.#pollers) {
      if (watched === JSON.stringify(accounts[account])) continue
      this.#pollers.delete(account)
      stopped.set(account, poller.stop())
    }
    for (const [account, watched] of Object.entries(accounts)) {
      if (this.#pollers.has(account)) continue
      const reads = this.#options.reads(account)
      const poller = new AccountPoller({ ...this.#options, ...watched, account, reads, after: stopped.get(account) })
      this.#pollers.set(account, { watched: JSON.stringify(watched), poller })
    }
  }

  /** To call when the store was lost: another one may be in its place when it is back. */
  storeLost() {
    for (const { poller } of this.#pollers.values()) poller.restart()
  }

  /** Whether this process polls the account now. */
  holds(account: string): boolean {
    return this.#pollers.get(account)?.poller.channels !== undefined
  }

  /** The accounts that this process polls, with the numbers of their channels. */
  report() {
    return [...this.#pollers].flatMap(([account, { poller }]) => {
      const { channels } = poller
      return channels ? [{ account, ...channels }] : []
    })
  }

  /** Ends polling and frees the leases, within a second. */
  async stop() {
    await Promise.all([...this.#pollers.values()].map(({ poller }) => poller.stop()))
  }
}
