import { compareLedger, type LedgerMark, type LedgerMemory } from '../identity.ts'
import { LedgerChangedError, type LedgerListener } from '../store.ts'
import type { Evictions } from './server-report.ts'

export type LedgerWatch = ReturnType<typeof createLedgerWatch>

/** What this process knows of its ledger: who it is, and whether it is still the same. */
export function createLedgerWatch(now: () => number, onLedger: LedgerListener) {
  let memory: LedgerMemory | undefined
  let evicted: number | undefined
  let tolerant = false

  function remember(next: LedgerMemory) {
    const was = memory?.refused !== undefined
    const is = next.refused !== undefined
    memory = next
    if (was && !is) tolerant = true // rows that were lost have been accepted as lost
    if (was !== is) onLedger(is)
  }
  const watch = {
    /** The identity and the number of claims that a script is to compare; empty until the ledger has been seen. */
    known: () => [memory?.identity ?? '', memory?.claims ?? 0] as const,
    isKnown: () => memory !== undefined,
    /** Whether a key without its row is no surprise. */
    tolerant: () => tolerant,
    /** Throws `LedgerChangedError` while the ledger is not the one that this process worked with. */
    check() {
      if (memory?.refused !== undefined) throw new LedgerChangedError()
    },
    seen: (mark: LedgerMark) => remember(compareLedger(memory, mark, now())),
    claimed(claims: number) {
      if (memory && memory.refused === undefined) memory.claims = Math.max(memory.claims, claims)
    },
    /** Keys of the ledger are gone. */
    lostRows() {
      // No identity is like the one of a ledger that was whole: only an operator ends this.
      if (memory && memory.refused === undefined) remember({ ...memory, identity: '-', refused: memory.acceptance })
    },
    evictions(found: Evictions) {
      const before = evicted
      evicted = found.evicted
      if (before === undefined) tolerant ||= found.evicted > 0
      else if (found.ofLedger && found.evicted > before) watch.lostRows()
    },
  }
  return watch
}
