// Longer than 200 lines, because it is the whole port: each verb in a few lines, one after the other.
import { randomBytes, randomUUID } from 'node:crypto'
import type { OpenedStore, StoreOptions } from '../adapter.ts'
import { createClock, endedAt, type LedgerClock } from '../clock.ts'
import { attemptsOf, keepCountsMs } from '../counts.ts'
import { markOf } from '../identity.ts'
import { firstIdOf } from '../ids.ts'
import type { SendRow, Store, StoreFault } from '../store.ts'
import { beginsEmpty, chatKeyOf, maxConversationRows, StoreUnavailableError, StoreVersionError, within } from '../store.ts'
import { createTurns } from '../turns.ts'
import type { ServerPlace } from '../url.ts'
import { createArchive } from './archive.ts'
import { type Connection, connect, type Reply, watchSentinels } from './connection.ts'
import { createLedgerWatch, type LedgerWatch } from './ledger.ts'
import { createLive } from './live.ts'
import { createMediaLedger } from './media.ts'
import { createQueue } from './queue.ts'
import { fieldsOf, settlementOf, toRow } from './rows.ts'
import { scripts } from './scripts.ts'
import { type ServerReport, warningsFor } from './server-report.ts'
import { createSession, type Session } from './session.ts'

const openMs = 2_000
const countMs = 75 // beside the 400 that a claim may wait for a silent server: half a second in all
const closeMs = 1_000
const walkMs = 10_000
const queuedMs = 32 * 86_400_000 // a send waits for 30 days at most

/** How many rows one script handles: a few milliseconds in which the server does nothing else. */
const slice = 200
const pageRows = 1_000
const deleteMax = 20_000 // never all of a large ledger at once

/**
 * A ledger on a Valkey or Redis server (7.0 or later), shared by all processes that are given its URL.
 *
 * Writes have one connection, reads and counters another: WAIT, where there is a replica, blocks its own. Rejects with `StoreVersionError`
 * if the ledger belongs to a newer release.
 */
export async function openValkey(place: ServerPlace, options: StoreOptions): Promise<OpenedStore> {
  const {
    now = Date.now,
    monotonic = () => performance.now(),
    onState = () => {},
    onLedger = () => {},
    onWarning = () => {},
    silentMs,
  } = options
  const clock = createClock(now, monotonic)
  const ledger = createLedgerWatch(now, onLedger)
  const warned = new Set<string>()
  let closing: Promise<void> | undefined

  let known: StoreFault | undefined
  function report(fault?: StoreFault) {
    if (!fault !== !known && !closing) onState(!fault, fault)
    known = fault
  }
  /** Also where it was out of order before: what was written last may be gone from the server that is there next. */
  function onLost(fault: StoreFault) {
    known = fault
    if (!closing) onState(false, fault)
  }
  function onReady(report: ServerReport) {
    ledger.evictions(report.evictions)
    for (const warning of warningsFor(report, options.maxBytes)) warnOnce(warning)
  }
  function warnOnce(warning: string) {
    if (!warned.has(warning)) onWarning(warning)
    warned.add(warning)
  }

  const writer = connect(place, { onReady, onLost, silentMs })
  const reader = connect(place, { silentMs })
  const unwatch = watchSentinels(place, { writer, reader, onWarning: warnOnce })
  const session = createSession({ writer, reader, clock, ledger, policy: options, identity: randomUUID(), report })

  const { live, stop } = createLive(session, place, clock)
  const store: OpenedStore = {
    ...live,
    media: createMediaLedger(session, clock),
    ...createSends(session, ledger, clock, writer),
    ...createReads(session),
    ...createQueue(session, ledger, clock),
    ...createArchive(session),
    async count(name, key, windowMs) {
      const counting = session.track(() => reader.ask(scripts.count, [`${name}:${key}`, windowMs]))
      const [count, leftMs] = (await within(countMs, counting)) as [number, number]
      return { count, leftMs }
    },
    close() {
      stop()
      unwatch()
      closing ??= within(closeMs, session.end())
        .catch(() => {})
        .then(() => {
          for (const { close } of [writer, reader]) close()
        })
      return closing
    },
  }

  const [fault] = await within(openMs, Promise.all([writer.opened, reader.opened])).catch((): [StoreFault] => ['busy'])
  if (fault) report(fault)
  else {
    const isNew = await lookAt(session, ledger, clock).catch(async error => {
      if (!(error instanceof StoreVersionError)) return false
      await store.close()
      throw error
    })
    if (isNew) onWarning(beginsEmpty)
    void spellDestinations(session).catch(() => {}) // the next process tries again
  }
  return store
}

/** Looks who the ledger is, and whether it is new. */
async function lookAt({ write }: Session, ledger: LedgerWatch, clock: LedgerClock): Promise<boolean> {
  const [callers, ...found] = await write(scripts.open)
  const mark = markOf(found)
  if (mark.clock > 0) clock.anchor(mark.clock)
  ledger.seen(mark)
  return callers === 0 && mark.claims === 0 && mark.clock === 0
}

/** Has rows of an earlier release found by the digits of their destination, a slice at a time. */
async function spellDestinations({ write }: Session) {
  let from = ''
  do from = String((await write(scripts.spell, from, slice))[0])
  while (from !== '')
}

/** Repeats a step of so many rows until there are no more, or `most` are done. */
async function inSlices(step: () => Promise<Reply[]>, most = Number.POSITIVE_INFINITY): Promise<number> {
  for (let done = 0; ; ) {
    const some = Number((await step())[0])
    done += some
    if (some < slice || done >= most) return done
  }
}

type Sends = Pick<
  Store,
  'claim' | 'settle' | 'note' | 'takeLookups' | 'heartbeat' | 'release' | 'expireLeases' | 'deleteExpired' | 'secret' | 'accept'
>

/** The verbs that write. */
function createSends(session: Session, ledger: LedgerWatch, clock: LedgerClock, writer: Connection): Sends {
  const { write, confirmedWrite, bestEffortWrite, claimWrite, track } = session
  return {
    async claim(row, perDay, sealed = '') {
      if (row.idempotencyKey !== undefined) {
        if (!ledger.isKnown()) await lookAt(session, ledger, clock)
        ledger.check()
      }
      const limits = perDay === undefined ? ['', ''] : [perDay, attemptsOf(perDay)]
      const [what, ...more] = await claimWrite(
        scripts.claim,
        ...limits,
        ledger.tolerant() ? 1 : 0,
        sealed && chatKeyOf(row),
        sealed,
        ...fieldsOf(row),
      )
      if (what === 'changed') ledger.seen(markOf(more))
      if (what === 'evicted') ledger.lostRows()
      if (what === 'changed' || what === 'evicted') {
        ledger.check()
        throw new StoreUnavailableError('busy') // another process has accepted it meanwhile
      }
      if (what === 'void') throw new StoreUnavailableError('busy') // it was given up before it got here
      if (what === 'known') throw new Error('There is a send of that id')
      if (what === 'limit') throw new StoreUnavailableError('limit')
      if (what === 'claimed') ledger.claimed(Number(more[0]))
      return what === 'held' ? { claimed: false, existing: toRow(more[0]) } : { claimed: what === 'claimed' }
    },

    async settle({ id }, { state, settledAt, answer, settledBy = '', note = '', late }) {
      const at = endedAt(clock.read(), settledAt)
      return settlementOf(await bestEffortWrite(scripts.settle, id, state, at, answer, settledBy, note, late ? 1 : 0))
    },

    async note({ id }, { messageId, deliveryStatus = '', deliveryAt }) {
      const [noted] = await bestEffortWrite(scripts.note, id, messageId, deliveryStatus, deliveryAt)
      return noted === 1
    },

    async takeLookups(accounts, limit) {
      const [rows] = await write(scripts.takeLookups, limit, ...accounts)
      return (rows as Reply[]).map(toRow) // as the script says it
    },

    async heartbeat(owner) {
      const { trusted, mayDelete } = clock.read()
      const [bytes, ...mark] = await confirmedWrite(scripts.heartbeat, owner, trusted, Number(mayDelete))
      ledger.seen(markOf(mark))
      if (session.claimsRefused()) await claimWrite(scripts.room)
      ledger.evictions(await track(writer.refresh))
      return Number(bytes)
    },

    release: owner => inSlices(() => write(scripts.release, owner, slice, endedAt(clock.read()))),
    expireLeases: async () =>
      clock.read().mayExpireLeases ? inSlices(() => write(scripts.expireLeases, slice, endedAt(clock.read()))) : 0,
    deleteExpired: async () => (clock.read().mayDelete ? inSlices(() => write(scripts.deleteExpired, slice, keepCountsMs), deleteMax) : 0),

    async secret() {
      const [secret] = await confirmedWrite(scripts.secret, randomBytes(32).toString('hex'))
      return Buffer.from(String(secret), 'hex')
    },

    async accept() {
      await confirmedWrite(scripts.accept, randomUUID())
    },
  }
}

/** The verbs that read. */
function createReads({ read, readToWrite }: Session): Pick<Store, 'conversation' | 'recent' | 'find' | 'list' | 'check'> {
  const turns = createTurns()
  return {
    async conversation({ user, platform, platformId, destination }, since) {
      const args = [user, platform, platformId, destination, firstIdOf(since), maxConversationRows, firstIdOf(since - queuedMs), since]
      return ((await readToWrite(scripts.conversation, ...args)) as Reply[]).map(toRow) // as the script says it
    },

    async recent(account, since) {
      return ((await read(scripts.recent, account, firstIdOf(since), maxConversationRows)) as Reply[]).map(toRow) // as above
    },

    async find({ caller, account }, id, cancellation) {
      if (cancellation?.reason) throw cancellation.reason
      const row = await read(scripts.find, caller, account, id)
      return row ? toRow(row) : undefined
    },

    async list({ caller, account }, { limit, before = '', ...filter }, cancellation) {
      const found: SendRow[] = []
      const until = performance.now() + walkMs
      let from = before
      do {
        if (performance.now() > until) throw new StoreUnavailableError('busy') // its caller has gone
        const args = [caller, account, limit - found.length, from, slice, ...fieldsOf(filter)]
        const [rows, last] = (await turns(caller, () => read(scripts.list, ...args), cancellation)) as [Reply[], string]
        found.push(...rows.map(toRow))
        from = last
      } while (from !== '' && found.length < limit)
      return found
    },

    async check() {
      let [lost, bytes, from] = [0, 0, '']
      do {
        const [missing, last, used] = (await read(scripts.inspect, from, pageRows)) as [number, string, number]
        lost += missing
        bytes = used
        from = last
      } while (from !== '')
      return { problems: lost === 0 ? [] : [`sends that an index names and that are gone: ${lost}`], bytes }
    },
  }
}
