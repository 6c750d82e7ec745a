import { archiveOf, type Deliveries } from '../deliveries.ts'
import type { EventLog, EventStore, Leases, LoggedEvent, NewEvent } from '../event-log.ts'
import { createListeners } from '../listeners.ts'
import type { Thread } from './thread.ts'

const watchMs = 1_000
const trimMax = 20_000 // never all of a large log at once

/** Leases and the event log in a SQLite file; `logged` is to be called for each account whose log has grown. */
export function createLive(writer: Thread, reader: Thread): EventStore & { logged: (account: string) => void } {
  const listeners = createListeners(watch)

  /** Another process may have the file open, too: an old one that drains, say. */
  function watch(accounts: readonly string[]): () => void {
    let known: string[] | undefined
    const timer = setInterval(async () => {
      const before = known
      known = await reader.call('marksOf', [accounts]).catch(() => undefined)
      for (const [n, account] of accounts.entries()) if (known && known[n] !== before?.[n]) listeners.notify(account)
    }, watchMs).unref()
    return () => clearInterval(timer)
  }

  const leases: Leases = {
    acquire: (name, holder, leaseMs) => writer.call('acquireName', [name, holder, leaseMs]),
    renew: (name, fence, leaseMs) => writer.call('renewName', [name, fence, leaseMs]),
    release: (name, fence) => writer.call('releaseName', [name, fence]),
  }
  const log: EventLog = {
    open: account => writer.call('openLog', [account]),
    accounts: () => writer.call('logAccounts', []), // every gateway asks, which should not start the other thread
    append(account, { lease, states = [], events }) {
      const flat = events.map(event => [event.destination, JSON.stringify(event)] as [string | null, string])
      return writer.call('append', [account, { lease, states, events: flat }])
    },
    async states(account, after = '') {
      const rows = await reader.call('readStates', [account, after])
      const next = rows.at(-1)?.[0]
      const states = rows.map(([key, destination, state]) => ({ key, destination, state }))
      return { states, ...(next !== undefined && { next }) }
    },
    find: (account, keys) => reader.call('findStates', [account, keys]),
    async read(account, after, limit) {
      const { mark, rows } = await reader.call('readLog', [account, after, limit])
      return { ...(mark && { mark }), events: rows.map(([position, body]) => eventOf(position, body)) }
    },
    async trim(keepMs, what) {
      for (let trimmed = 0; ; ) {
        const slice = await writer.call('trimLog', [keepMs, what])
        trimmed += slice
        if (slice === 0 || trimmed >= trimMax) return trimmed
      }
    },
    watch: listeners.add,
  }
  return { leases, log, deliveries: createDeliveries(writer, reader), logged: listeners.notify }
}

const eventOf = (position: number, body: string): LoggedEvent => ({ ...(JSON.parse(body) as NewEvent), position }) // as `append` wrote it

function createDeliveries(writer: Thread, reader: Thread): Deliveries {
  const deliveries: Deliveries = {
    webhook: name => reader.call('webhook', [name]),
    save: (name, lease, change) => writer.call('saveWebhook', [name, lease, change]),
    request: (name, request) => writer.call('requestOfWebhook', [name, request]),
    failed: (name, after, limit) => reader.call('failedOf', [name, after, limit]),
    deleteFailed: keepMs => writer.call('deleteFailed', [keepMs]),
    dumpWebhooks: async () => archiveOf(await reader.call('webhookNames', []), deliveries),
    loadWebhook: webhook => writer.call('loadWebhook', [webhook]),
  }
  return deliveries
}
