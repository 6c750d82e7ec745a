import { randomBytes } from 'node:crypto'
import type { LedgerClock } from '../clock.ts'
import type { EventLog, EventStore, Leases, LoggedEvent, LogMark, NewEvent } from '../event-log.ts'
import { createListeners } from '../listeners.ts'
import type { ServerPlace } from '../url.ts'
import type { Reply } from './connection.ts'
import { createDeliveries } from './deliveries.ts'
import { eventScripts as scripts } from './event-scripts.ts'
import { watchStreams } from './news.ts'
import { pairsOf } from './rows.ts'
import type { Session } from './session.ts'

const pageStates = 500
const trimMax = 20_000 // never all of a large log at once
const unusedMs = 86_400_000 // beyond the retention
const perMs = 1_000 // positions are times

/** Leases and event logs on a server; a failure of theirs says nothing of the ledger. */
export function createLive(session: Session, place: ServerPlace, clock: LedgerClock): { live: EventStore; stop: () => void } {
  const { read, members, readToWrite, writeBeside: write } = session
  const marksOf = async (accounts: readonly string[]) => ((await read(scripts.marks, ...accounts)) as Reply[][]).map(markOf)
  const accounts = () => members('logs')
  const listeners = createListeners(watched =>
    watchStreams({ place, accounts: watched, marksOf, onNews: account => listeners.notify(account) }),
  )

  const leases: Leases = {
    async acquire(name, holder, leaseMs) {
      const [fence] = await write(scripts.acquire, name, holder, leaseMs)
      return fence === undefined ? undefined : Number(fence)
    },
    renew: async (name, fence, leaseMs) => (await write(scripts.renew, name, fence, leaseMs))[0] === 1,
    async release(name, fence) {
      await write(scripts.release, name, fence)
    },
  }
  const log: EventLog = {
    open: async account => markOf(await write(scripts.openLog, account, randomBytes(6).toString('base64url'))),
    accounts,
    async append(account, { lease, states = [], events }) {
      const known = states.flatMap(({ key, destination, state }) => [key, state === null ? '' : JSON.stringify([destination, state])])
      const bodies = events.flatMap(event => [event.destination ?? '', JSON.stringify(event)])
      const [positions] = await write(scripts.append, account, lease?.name ?? '', lease?.fence ?? 0, states.length, ...known, ...bodies)
      if (positions === 'fenced') return undefined
      if (events.length > 0) listeners.notify(account)
      return (positions as string[]).map(Number)
    },
    async states(account, after = '0') {
      const [cursor, flat] = (await readToWrite(scripts.states, account, after, pageStates)) as [string, string[]]
      const states = pairsOf(flat).map(([key, value]) => ({ key, ...stateOf(value) }))
      return { states, ...(cursor !== '0' && { next: cursor }) }
    },
    async find(account, keys) {
      const found = (await readToWrite(scripts.findStates, account, ...keys)) as string[]
      return found.map(value => (value === '' ? undefined : stateOf(value).state))
    },
    async read(account, after, limit) {
      const [mark, ...flat] = (await read(scripts.read, account, Math.max(after, 0), limit)) as [Reply[]?, ...string[]]
      if (!mark) return { events: [] }
      return { mark: markOf(mark), events: pairsOf(flat).map(([id, body]) => eventOf(id, body)) }
    },
    async trim(keepMs, what) {
      const { mayDelete, trusted } = clock.read()
      if (!mayDelete) return 0
      const before = trusted - keepMs
      const slices =
        what === 'unused'
          ? [1, before - unusedMs, 0, Number.MAX_SAFE_INTEGER]
          : [before * perMs, before - unusedMs, before, trusted + keepMs]
      let trimmed = 0
      for (const account of await accounts()) {
        for (let slice = -1; slice !== 0 && trimmed < trimMax; trimmed += slice)
          slice = Number((await write(scripts.trim, account, ...slices))[0])
      }
      return trimmed
    },
    watch: listeners.add,
  }
  return { live: { leases, log, deliveries: createDeliveries(session, clock) }, stop: listeners.stop }
}

const markOf = ([identity, trimmed, last]: Reply[]): LogMark => ({
  identity: String(identity),
  trimmed: Number(trimmed),
  last: Number(last),
})

function stateOf(value: string): { destination: string | null; state: string } {
  const [destination, state] = JSON.parse(value) as [string | null, string] // as `append` wrote it
  return { destination, state }
}

/** The id of a stream entry is `<position>-0`; its body is what `append` or the script wrote. */
const eventOf = (id: string, body: string): LoggedEvent => ({ ...(JSON.parse(body) as NewEvent), position: Number(id.split('-', 1)[0]) })
