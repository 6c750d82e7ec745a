/**
 * What a ledger says of itself: who it is, how many claims with a key and starts from the queue it has had (`claims`), and when an operator
 * last accepted it.
 *
 * The identity is random and made with the ledger; the number of claims only grows. `clock` is what time it was at the last heartbeat.
 */
export type LedgerMark = { identity: string; claims: number; acceptance: string; acceptedAt: number; clock: number }

/** The mark, as both adapters keep and read its parts. */
export const markOf = ([identity, claims, acceptance, acceptedAt, clock]: readonly unknown[]): LedgerMark => ({
  identity: String(identity),
  claims: Number(claims),
  acceptance: String(acceptance),
  acceptedAt: Number(acceptedAt),
  clock: Number(clock),
})

/** What a process remembers of its ledger; `refused` is the acceptance that the changed ledger had when the change was found. */
export type LedgerMemory = LedgerMark & { seenAt: number; refused?: string }

/**
 * Compares the ledger with what the process remembers: another identity, or fewer claims, is another ledger or an old copy, which may have
 * forgotten keys. Returns what to remember; `refused` in it means that the ledger has changed and no operator has accepted that.
 *
 * The ledger itself may come back, too. An operator may accept before the process notices the change: then `acceptedAt` is later than its last look at the old ledger.
 */
export function compareLedger(memory: LedgerMemory | undefined, found: LedgerMark, now: number): LedgerMemory {
  if (!memory) return { ...found, seenAt: now }
  const { identity, claims, seenAt, refused } = memory
  const changed = found.identity !== identity || found.claims < claims
  const accepted = found.acceptedAt > seenAt || (refused !== undefined && found.acceptance !== refused)
  if (changed && !accepted) return { ...memory, refused: found.acceptance }
  return { ...found, seenAt: now }
}
