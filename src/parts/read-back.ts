import { getMessages } from '../afilnet/operations.ts'
import { type AccountConfig, canReadBack } from '../config/account.ts'
import type { Observe } from '../events.ts'
import { messageIdsOf } from '../live/identity.ts'
import type { ConversationRead, PollerHooks } from '../live/ports.ts'
import type { Listed } from '../sends/dated-rows.ts'
import { ReadBack } from '../sends/read-back.ts'
import type { Sends } from '../sends/sends.ts'
import { type Conversation, type Store, StoreUnavailableError } from '../store/store.ts'
import type { Upstream } from '../upstream/upstream.ts'

type Accounts = Readonly<Record<string, AccountConfig>>

type ReadBackParts = {
  store: Store
  sends: Sends
  upstream: Upstream
  accounts: Accounts
  /** Whether this process polls the account: only it knows which rows are new. */
  holds: (account: string) => boolean
  /** Whether unknown sends are looked for. */
  readBack: boolean
  observe: Observe
  timeoutMs: number
}

/** Whether the account wrote a message; null where that is not known. */
const isOut = (direction: 'in' | 'out' | null) => (direction === null ? null : direction === 'out')

/** Connects the search for unknown sends with the ledger, and with the conversations of every account that can prove something. */
export function connectReadBack({ store, sends, upstream, accounts, holds, readBack: isOn, observe, timeoutMs }: ReadBackParts) {
  async function read(account: string, { user, platform, platformId, destination }: Conversation): Promise<Listed | undefined> {
    // Another user at Afilnet has other conversations.
    if (accounts[account]?.timezone === undefined || accounts[account].user !== user) return undefined
    const chat = { platform, platformid: platformId, destination }
    const { items = [], beganAt, endedAt, date } = await upstream.open(account).background(getMessages, chat)
    const messageIds = messageIdsOf(items, (await sends.secret.read()).export())
    const rows = items.map(({ message: text, direction, status, timestamp }, n) => {
      return { messageId: messageIds[n] ?? '', out: isOut(direction), text, status, timestamp }
    })
    return { rows, beganAt, endedAt, date }
  }
  const readBack = new ReadBack({
    store,
    secret: () => sends.secret.read(),
    accounts: () =>
      Object.entries(accounts).flatMap(([name, account]) =>
        canReadBack(account) && (account.timezone !== undefined || holds(name)) ? [name] : [],
      ),
    settles: isOn,
    read,
    observe,
    timeoutMs,
  })
  /** Gives what the poller has read to the search for sends, in its words. */
  async function onRead({ account, rows, endedAt, ...read }: ConversationRead) {
    const listed = rows.map(({ messageId, change, message: { message, direction, status } }) => ({
      messageId,
      out: isOut(direction),
      text: message,
      status,
      isNew: change === 'message.created',
      statusChanged: change === 'message.updated',
    }))
    await readBack.conversationRead({ ...read, account, user: upstream.open(account).user, rows: listed, at: endedAt })
  }

  return Object.assign(readBack, {
    hooks: {
      onRead: read =>
        onRead(read).catch(error => {
          if (error instanceof StoreUnavailableError) throw error // else no event waits for it
        }),
      undelivered: account => readBack.undelivered(account),
    } satisfies PollerHooks,
    /** Goes by another configuration from now on. */
    useAccounts(next: Accounts) {
      accounts = next
    },
  })
}
