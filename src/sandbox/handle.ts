import type { Account } from './account.ts'
import type { Shape } from './response-format.ts'
import type { Address, Bulk, Channel, Written } from './world.ts'

export type AccountHandle = ReturnType<typeof createHandle>

/** One account, in the hands of a test or of the demo. */
export function createHandle(account: Account, changed: () => void) {
  const { user, world, customers } = account
  const noChannel = ({ platform, platformid }: Pick<Address, 'platform' | 'platformid'>) =>
    new Error(`The sandbox has no channel ${platform}/${platformid}`)
  return {
    user,
    sent: world.sent,
    /** Changes how regular answers look from now on, and what lists show. */
    shape: (partial: Partial<Shape>) => {
      account.shape = { ...account.shape, ...partial }
    },
    /** A customer writes in (or with `sent`, the account answers from elsewhere); gives the id of the message. */
    receive: (message: Written): string => {
      const messageid = world.receive(message)
      if (messageid === undefined) throw noChannel(message)
      changed()
      return messageid
    },
    messages: () => world.all(),
    mark: (address: Address, messageid: string, status: string) => {
      if (!world.mark(address, messageid, status)) throw new Error('The sandbox has no such message')
    },
    remove: (address: Address, messageid?: string) => world.remove(address, messageid),
    fill: (bulk: Bulk) => {
      if (!world.fill(bulk)) throw noChannel(bulk)
    },
    script: customers.script,
    addChannel: (channel: Channel) => world.addChannel(channel),
    removeChannel: (platform: string, platformid: string) => world.removeChannel(platform, platformid),
  }
}
