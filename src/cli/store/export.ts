import { writtenKey } from '../../sends/request.ts'
import type { SendRow } from '../../store/store.ts'
import { type Ledger, type Print, pagesOf } from './ledger.ts'

/** Prints every send and failed delivery as a line of JSON, or those to one destination. */
export async function exportRows(ledger: Ledger, destination: string | undefined, print: Print): Promise<boolean> {
  for await (const page of pagesOf(after => ledger.dump(after).catch(ledger.fail))) {
    const rows = destination === undefined ? page : page.filter(row => row.destination === destination)
    if (rows.length > 0) await print(rows.map(row => `${JSON.stringify(shown(row))}\n`).join(''))
  }
  for (const { name, failed } of await ledger.deliveries.dumpWebhooks().catch(ledger.fail)) {
    const rows = failed.filter(row => destination === undefined || row.destination === destination)
    if (rows.length > 0) await print(rows.map(row => `${JSON.stringify({ webhook: name, ...row })}\n`).join(''))
  }
  return true
}

const shown = ({ idempotencyKey: key, ...row }: SendRow) => (key === undefined ? row : { ...row, idempotencyKey: writtenKey(key) })
