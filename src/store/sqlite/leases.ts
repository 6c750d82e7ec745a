import type { VerbContext } from './verb-context.ts'

/** When this process wrote the lease of an owner. */
const renewedAt = new Map<string, number>()

/** A send that begins renews the lease of its owner if that is due: it may come before the first heartbeat, or after a pause without any. */
export function keepAlive(context: VerbContext, owner: string) {
  if (Math.abs(context.now - (renewedAt.get(owner) ?? Number.NEGATIVE_INFINITY)) >= context.leaseMs / 4) renewLease(context, owner)
}

export function renewLease({ file, now, leaseMs }: VerbContext, owner: string) {
  file.run('INSERT INTO leases VALUES (?, ?) ON CONFLICT DO UPDATE SET expiresAt = excluded.expiresAt', owner, now + leaseMs)
  renewedAt.set(owner, now)
}

/** A failed transaction has written no lease, and a file in the place of the ledger has none. */
export const forgetRenewals = () => renewedAt.clear()

export function endLease({ file }: VerbContext, owner: string) {
  file.run('DELETE FROM leases WHERE owner = ?', owner)
  renewedAt.delete(owner)
}
