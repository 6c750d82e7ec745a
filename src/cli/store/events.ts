import type { KnownState, LoggedEvent } from '../../store/event-log.ts'
import type { Ledger } from './ledger.ts'

const pageEvents = 1_000

/** Every event of the log of an account, oldest first, page by page. */
export async function* eventsOf({ log, fail }: Ledger, account: string): AsyncGenerator<LoggedEvent[]> {
  const read = (after: number) => log.read(account, after, pageEvents).catch(fail)
  for (let { events } = await read(0); events.length > 0; { events } = await read(events.at(-1)?.position ?? 0)) yield events
}

/** What is known of every conversation of an account, page by page; a state may come twice while a gateway runs. */
export async function* conversationsOf({ log, fail }: Ledger, account: string): AsyncGenerator<KnownState[]> {
  for (let page = await log.states(account).catch(fail); ; page = await log.states(account, page.next).catch(fail)) {
    yield page.states.filter(({ destination }) => destination !== null)
    if (page.next === undefined) return
  }
}

/** How many events and known conversations there are; nothing where no account has an event log. */
export async function countEvents(ledger: Ledger): Promise<{ events: number; conversations: number } | undefined> {
  const accounts = await ledger.log.accounts().catch(ledger.fail)
  const found = { events: 0, conversations: 0 }
  for (const account of accounts) {
    for await (const page of eventsOf(ledger, account)) found.events += page.length
    for await (const page of conversationsOf(ledger, account)) found.conversations += page.length
  }
  return accounts.length > 0 ? found : undefined
}
