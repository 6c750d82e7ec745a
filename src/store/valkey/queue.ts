import { endedAt, type LedgerClock } from '../clock.ts'
import { markOf } from '../identity.ts'
import type { DueSend, SendRow, Store } from '../store.ts'
import type { Reply } from './connection.ts'
import type { LedgerWatch } from './ledger.ts'
import { queueScripts } from './queue-scripts.ts'
import { settlementOf, toRow } from './rows.ts'
import type { Session } from './session.ts'

type QueueVerbs = Pick<Store, 'takeDue' | 'pendingOf' | 'requeue' | 'unqueue' | 'sealedByOthers' | 'backlog'>

/** The verbs of the queue on a server. */
export function createQueue({ read, readToWrite, write, confirmedWrite }: Session, ledger: LedgerWatch, clock: LedgerClock): QueueVerbs {
  /** A replica must know what was taken: after a failover it would be queued again, and sent twice. */
  async function confirm(due: readonly DueSend[]) {
    try {
      await confirmedWrite(queueScripts.requeue, '', 0, 0) // of no send: it waits for what was written before
    } catch (error) {
      for (const { row, attempts } of due) await write(queueScripts.requeue, row.id, row.startedAt ?? 0, attempts)
      throw error
    }
  }

  return {
    async takeDue(owner, places, running = new Map()) {
      const at = endedAt(clock.read())
      const [found, nextAt, late, ...more] = await write(queueScripts.takeDue, owner, places, at, ...[...running].flat())
      if (found === 'changed') ledger.seen(markOf(more))
      const taken = found === 'changed' ? [] : (found as [Reply, string, number][]) // as the script says it
      const due = taken.map(([row, sealed, attempts]) => ({ row: toRow(row), sealed, attempts }))
      if (due.length > 0) await confirm(due)
      if (due.length > 0) ledger.claimed(Number(more[0]))
      const expired = (late as [string, SendRow['kind'], string][]).map(([account, kind, id]) => ({ account, kind, id })) // as above
      return { due, expired, ...(nextAt !== '' && { nextAt: Number(nextAt) }) }
    },
    async pendingOf(owner) {
      const found = (await readToWrite(queueScripts.pendingOf, owner)) as [Reply, number][] // as above
      return found.map(([row, attempts]) => ({ row: toRow(row), attempts }))
    },
    async requeue({ id }, nextAt, attempts) {
      const [requeued] = await write(queueScripts.requeue, id, nextAt, attempts)
      return requeued === 1
    },
    async unqueue({ id }, { state, settledAt, answer, settledBy = '' }) {
      const at = endedAt(clock.read(), settledAt)
      return settlementOf(await confirmedWrite(queueScripts.unqueue, id, state, at, answer, settledBy))
    },
    async sealedByOthers(keys) {
      return ((await readToWrite(queueScripts.sealedByOthers, ...keys)) as Reply[]).map(toRow) // as above
    },
    async backlog() {
      const [waiting, held, dueAt] = (await read(queueScripts.backlog)) as [number, number, string]
      return { waiting, held, ...(dueAt !== '' && { dueAt: Number(dueAt) }) }
    },
  }
}
