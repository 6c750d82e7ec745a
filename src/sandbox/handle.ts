import type { Account } from './account.ts'
import type { Script } from './customers.ts'
import type { Shape } from './response-format.ts'
import type { Address, Bulk, Channel, Message, Sent, Written } from './world.ts'

/** One account, in the hands of a test or of the demo. */
export type AccountHandle = {
  user: string
  sent: Sent[]
  /** Changes how regular answers look from now on, and what lists show. */
  shape(partial: Partial<Shape>): void
  /** A customer writes in (or with `sent`, the account answers from elsewhere); gives the id of the message. */
  receive(message: Written): string
  /** Every message that there is, those included that no list shows yet. */
  messages(): Message[]
  /** The message takes another status. */
  mark(address: Address, messageid: string, status: string): void
  /** Afilnet forgets the conversation, or one message of it. */
  remove(address: Address, messageid?: string): void
  /** New conversations with numbers that begin with 347. */
  fill(bulk: Bulk): void
  /** Changes what everybody does unasked, or the customer of one conversation. */
  script(script: Partial<Script>, address?: Address): void
  addChannel(channel: Channel): void
  removeChannel(platform: string, platformid: string): void
}

export function createHandle(account: Account, changed: () => void): AccountHandle {
  const { user, world, customers } = account
  const noChannel = ({ platform, platformid }: Pick<Address, 'platform' | 'platformid'>) =>
    new Error(`The sandbox has no channel ${platform}/${platformid}`)
  return {
    user,
    sent: world.sent,
    shape: partial => {
      account.shape = { ...account.shape, ...partial }
    },
    receive: message => {
      const messageid = world.receive(message)
      if (messageid === undefined) throw noChannel(message)
      changed()
      return messageid
    },
    messages: () => world.all(),
    mark: (address, messageid, status) => {
      if (!world.mark(address, messageid, status)) throw new Error('The sandbox has no such message')
    },
    remove: (address, messageid) => world.remove(address, messageid),
    fill: bulk => {
      if (!world.fill(bulk)) throw noChannel(bulk)
    },
    script: customers.script,
    addChannel: channel => world.addChannel(channel),
    removeChannel: (platform, platformid) => world.removeChannel(platform, platformid),
  }
}
