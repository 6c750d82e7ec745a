import { randomBytes } from 'node:crypto'
import {
  type Archive,
  type Claim,
  type SendRow,
  type Settlement,
  type Store,
  type StoreFault,
  type StoreListener,
  type StorePolicy,
  StoreUnavailableError,
  StoreVersionError,
  within,
} from '../store.ts'
import type { ServerPlace } from '../url.ts'
import { type Connection, connect, type Reply, type ServerReport } from './connection.ts'
import { type Script, scripts } from './scripts.ts'

export type ValkeyOptions = StorePolicy & { maxBytes: number; onState?: StoreListener; onWarning?: (warning: string) => void }

const openMs = 2_000
const countMs = 75 // beside the 400 that a claim may wait for a silent server: half a second in all
const closeMs = 1_000
const walkMs = 10_000

/** How many rows one script handles: a few milliseconds in which the server does nothing else. */
const slice = 200
const pageRows = 1_000

const tooSmall =
  'the server has less memory (maxmemory) than STORE_MAX_MB: when it is full it refuses sends, and repeated ones are not told how the first one ended'

/** A send of an old day may still be settled, by a late answer; nobody asks for its count any more. */
const keepCountsMs = 7 * 86_400_000

/**
 * A ledger on a Valkey or Redis server (7.0 or later), shared by all processes that are given its URL.
 *
 * Writes have one connection, reads and counters another: WAIT, where there is a replica, blocks its own.
 */
export async function openValkey(
  place: ServerPlace,
  { now = Date.now, onState = () => {}, onWarning = () => {}, ...policy }: ValkeyOptions,
): Promise<Store & Archive> {
  let known: StoreFault | undefined
  /** What claims meet, while everything else may still get through: a full server, a replica that hangs. */
  let refused: StoreFault | undefined
  let closing: Promise<void> | undefined
  let commits = 0
  const told = new Set<string>()
  const running = new Set<Promise<unknown>>()

  function report(fault?: StoreFault) {
    if (!fault !== !known && !closing) onState(!fault, fault)
    known = fault
  }
  function onReady({ warnings, maxBytes }: ServerReport) {
    const small = maxBytes > 0 && maxBytes < policy.maxBytes
    for (const warning of [...warnings, ...(small ? [tooSmall] : [])]) {
      if (!told.has(warning)) onWarning(warning)
      told.add(warning)
    }
  }

  const writer = connect(place, { onReady, lost: report })
  const reader = connect(place)

  function track<T>(work: () => Promise<T>): Promise<T> {
    if (closing) return Promise.reject(new StoreUnavailableError('closed'))
    const verb = work()
    running.add(verb)
    const done = () => void running.delete(verb)
    verb.then(done, done)
    return verb
  }

  const given = () => [now(), policy.keepMs, policy.keepUnknownMs, policy.leaseMs, policy.maxBytes]

  /** What a script that reads answers. */
  const read = (script: Script, ...args: (string | number)[]) => track(() => reader.ask(script, [...given(), ...args]))

  /** What a script that writes answers; the state of the store follows from it. */
  async function write(ask: Connection['ask'], script: Script, ...args: (string | number)[]): Promise<Reply[]> {
    try {
      const [over, ...answer] = (await track(() => ask(script, [...given(), ...args]))) as Reply[] // they answer lists
      report(over === 1 ? 'limit' : refused)
      commits++
      return answer
    } catch (error) {
      report(error instanceof StoreUnavailableError ? error.cause : 'io')
      throw error
    }
  }

  /** What a failover could take back is not taken for done: a replica has to have it. */
  const confirmedWrite: Connection['ask'] = async (script, args) => {
    const { reply, confirmed } = await writer.askConfirmed(script, args)
    if (confirmed) return reply
    await writer.countReplicas()
    throw new StoreUnavailableError('busy')
  }

  /** Only what is as demanding as a claim tells that claims are taken again. */
  const claimWrite: Connection['ask'] = async (script, args) => {
    const reply = await confirmedWrite(script, args)
    refused = undefined
    return reply
  }
  const claiming = (script: Script, ...args: (string | number)[]) =>
    write(claimWrite, script, ...args).catch(error => {
      refused = error instanceof StoreUnavailableError ? error.cause : 'io'
      throw error
    })

  /** An end that a failover takes back makes a send `unknown` and never a second one, so it need not wait for the replica in vain. */
  const bestEffortConfirm: Connection['ask'] = async (script, args) => (await writer.askConfirmed(script, args)).reply

  /** Long walks take turns, a slice each, so that many of them do not keep sends waiting. */
  let turn: Promise<unknown> = Promise.resolve()
  function serialized<T>(step: (from: string) => Promise<T>, from: string): Promise<T> {
    const mine = turn.then(() => step(from))
    turn = mine.catch(() => {})
    return mine
  }

  /** Repeats a step of so many rows until there are no more. */
  async function all(rows: number, step: () => Promise<number>): Promise<number> {
    const some = await step()
    return some < rows ? some : some + (await all(rows, step))
  }

  const store: Store & Archive = {
    async claim(row, perDay) {
      const [what, existing] = await claiming(scripts.claim, perDay ?? '', ...fieldsOf(row))
      if (what === 'void') throw new StoreUnavailableError('busy') // it was given up before it got here
      if (what === 'known') throw new Error('There is a send of that id')
      if (what === 'limit') throw new StoreUnavailableError('limit')
      return (what === 'held' ? { claimed: false, existing: toRow(existing) } : { claimed: what === 'claimed' }) as Claim // as the script says it
    },

    async settle(id, { state, settledAt, answer }): Promise<Settlement> {
      const [settled, row] = await write(bestEffortConfirm, scripts.settle, id, state, settledAt, answer)
      return row ? { settled: settled === 1, row: toRow(row) } : { settled: false }
    },

    async find(caller, id) {
      const row = await read(scripts.find, caller, id)
      return row ? toRow(row) : undefined
    },

    async list(caller, { limit, before = '', ...filter }) {
      const found: SendRow[] = []
      const until = performance.now() + walkMs
      const step = (from: string) => read(scripts.list, caller, limit - found.length, from, slice, ...fieldsOf(filter))
      for (let from: string | undefined = before, first = true; from !== undefined && found.length < limit; first = false) {
        if (performance.now() > until) throw new StoreUnavailableError('busy') // whoever asked has gone
        const [rows, last] = (await (first ? step(from) : serialized(step, from))) as [Reply[], string]
        found.push(...rows.map(toRow))
        from = last === '' ? undefined : last
      }
      return found
    },

    async heartbeat(owner) {
      await write(confirmedWrite, scripts.heartbeat, owner)
      if (refused) await claiming(scripts.room)
      await track(writer.countReplicas)
    },

    release: owner => all(slice, async () => Number((await write(writer.ask, scripts.release, owner, slice))[0])),
    expireLeases: () => all(slice, async () => Number((await write(writer.ask, scripts.expireLeases, slice))[0])),
    deleteExpired: () => all(slice, async () => Number((await write(writer.ask, scripts.deleteExpired, slice, keepCountsMs))[0])),

    async secret() {
      const [secret] = await write(confirmedWrite, scripts.secret, randomBytes(32).toString('hex'))
      return Buffer.from(String(secret), 'hex')
    },

    async check() {
      let [lost, bytes] = [0, 0]
      for (let from: string | undefined = ''; from !== undefined; ) {
        const [missing, last, used] = (await read(scripts.inspect, from, pageRows)) as [number, string, number]
        lost += missing
        bytes = used
        from = last === '' ? undefined : last
      }
      return { problems: lost === 0 ? [] : [`sends that an index names and that are gone: ${lost}`], bytes, commits }
    },

    async count(name, key, windowMs) {
      const [count, leftMs] = (await within(
        countMs,
        track(() => reader.ask(scripts.count, [`${name}:${key}`, windowMs])),
      )) as [number, number]
      return { count, leftMs }
    },

    async dump(after = '') {
      const rows = (await read(scripts.dump, after, pageRows)) as Reply[]
      return rows.map(toRow).filter(({ state }) => state !== undefined)
    },

    async load(rows) {
      let taken = 0
      for (let at = 0; at < rows.length; at += slice) {
        const some = rows.slice(at, at + slice).map(row => write(writer.ask, scripts.load, ...fieldsOf(row)))
        for (const [one] of await Promise.all(some)) taken += Number(one)
      }
      return taken
    },

    async adopt(secret) {
      const wanted = Buffer.from(secret).toString('hex')
      const [found] = await write(confirmedWrite, scripts.secret, wanted)
      return found === wanted
    },

    async forget(destination) {
      const sum = { gone: 0, pending: 0 }
      for (const caller of (await read(scripts.callers)) as string[]) {
        for (let from: string | undefined = ''; from !== undefined; ) {
          const [gone, pending, last] = await write(writer.ask, scripts.forget, caller, destination, from, slice)
          sum.gone += Number(gone)
          sum.pending += Number(pending)
          from = last === '' ? undefined : String(last)
        }
      }
      return sum
    },

    close() {
      closing ??= within(closeMs, Promise.allSettled(running))
        .catch(() => {})
        .then(() => {
          for (const { close } of [writer, reader]) close()
        })
      return closing
    },
  }

  const [fault] = await within(openMs, Promise.all([writer.opened, reader.opened])).catch((): [StoreFault] => ['busy'])
  if (fault) report(fault)
  else
    await write(writer.ask, scripts.open).catch(async error => {
      if (!(error instanceof StoreVersionError)) return
      await store.close()
      throw error
    })
  return store
}

/** What a server says of itself, or why it cannot be asked; changes nothing. */
export async function peekValkey(place: ServerPlace): Promise<ServerReport | StoreFault> {
  const seen = Promise.withResolvers<ServerReport>()
  const connection = connect(place, { onReady: seen.resolve })
  try {
    const fault = await within(openMs, connection.opened)
    return fault ?? (await within(1, seen.promise).catch((): StoreFault => 'readonly')) // it is heard before, or never
  } catch {
    return 'away'
  } finally {
    connection.close()
  }
}

const fieldsOf = (members: object) => Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))

// A hash has the members of SendRow, as texts; those of a later release besides
function toRow(flat: Reply | undefined): SendRow {
  const texts = flat as string[]
  const row: Record<string, string | number> = {}
  for (let at = 0; at < texts.length; at += 2) {
    const [name = '', value = ''] = texts.slice(at, at + 2)
    row[name] = name === 'createdAt' || name === 'settledAt' ? Number(value) : value
  }
  return row as SendRow
}
