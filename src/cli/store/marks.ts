import type { Ledger, Print } from './ledger.ts'

/** Keeps what is queued now from being sent: after a restore, some of it may have gone already. */
export async function holdQueue(ledger: Ledger, print: Print): Promise<boolean> {
  const held = await ledger.holdQueue().catch(ledger.fail)
  await print(`held      ${held}\nThey wait for release-queue, or expire. Cancel single ones with DELETE /sends/{id}.\n`)
  return true
}

/** Lets held sends go. */
export async function releaseQueue(ledger: Ledger, print: Print): Promise<boolean> {
  await print(`released  ${await ledger.releaseQueue().catch(ledger.fail)}\n`)
  return true
}

/** Accepts the ledger as it is, so that gateways that refuse sends with a key because it was replaced take them again. */
export async function accept(ledger: Ledger, print: Print): Promise<boolean> {
  await ledger.accept().catch(ledger.fail)
  await print('accepted. Running gateways take sends with an Idempotency-Key again within 5 seconds\n')
  return true
}
