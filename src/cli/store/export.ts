import { namesOf, normalizeDestination } from '../../access.ts'
import { writtenKey } from '../../sends/request.ts'
import type { LoggedEvent } from '../../store/event-log.ts'
import type { MediaRow } from '../../store/media.ts'
import type { SendRow } from '../../store/store.ts'
import { conversationsOf, eventsOf } from './events.ts'
import { type Ledger, type Print, pagesOf } from './ledger.ts'
import { filesOf, isOf } from './media.ts'

type Named = { platform?: string | null; destination: string | null }

/** The name of a recipient: earlier releases stored a number as the caller wrote it. */
const nameOf = ({ platform, destination }: Named) => destination && normalizeDestination(platform ?? '', destination)

/** Prints every send, event, known conversation, failed delivery and file as a line of JSON, or those of one destination. */
export async function exportRows(ledger: Ledger, destination: string | undefined, print: Print): Promise<boolean> {
  const names = destination === undefined ? undefined : namesOf(undefined, destination)
  const isWanted = (row: Named) => names?.some(name => name === nameOf(row)) ?? true
  async function printLines<R extends Named>(rows: readonly R[], shownAs: (row: R) => object) {
    const lines = rows.filter(isWanted).map(row => `${JSON.stringify(shownAs(row))}\n`)
    if (lines.length > 0) await print(lines.join(''))
  }

  for await (const page of pagesOf(ledger)) await printLines(page, shown)
  for (const account of await ledger.log.accounts().catch(ledger.fail)) {
    for await (const page of eventsOf(ledger, account)) await printLines(page, event => ({ account, event: shownEvent(event) }))
    for await (const page of conversationsOf(ledger, account))
      await printLines(page, ({ key, state }) => ({ account, conversation: key, state }))
  }
  for (const { name, failed } of await ledger.deliveries.dumpWebhooks().catch(ledger.fail))
    await printLines(failed, row => ({ webhook: name, ...row }))
  for await (const row of filesOf(ledger)) {
    if (destination === undefined || isOf(destination, row)) await print(`${JSON.stringify(shownFile(row))}\n`)
  }
  return true
}

/** Without the token: anyone who has it can fetch the file. */
const shownFile = ({ id, token: _, ...row }: MediaRow) => ({ file: id, ...row })

const shown = ({ idempotencyKey: key, ...row }: SendRow) => (key === undefined ? row : { ...row, idempotencyKey: writtenKey(key) })

const shownEvent = ({ send, sender, ...event }: LoggedEvent) => ({
  ...event,
  ...(send !== undefined && { send: shown(JSON.parse(send) as SendRow) }), // as the store wrote it
})
