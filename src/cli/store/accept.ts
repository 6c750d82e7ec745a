import type { Ledger, Print } from './ledger.ts'

/** Accepts the ledger as it is, so that gateways that refuse sends with a key because it was replaced take them again. */
export async function accept(ledger: Ledger, print: Print): Promise<boolean> {
  await ledger.accept().catch(ledger.fail)
  await print('accepted. Running gateways take sends with an Idempotency-Key again within 5 seconds\n')
  return true
}
