import { arrange, listResult, type Shape, sendResult } from './response-format.ts'
import type { Address, Sent, World } from './world.ts'

export type Params = Record<string, string | undefined>

type Operation = {
  needs: readonly string[]
  may?: readonly string[]
  /** The parameter that may hold a magic word. */
  magicIn?: 'destination' | 'platformid'
  /** Whether the conversation must be there already. */
  opened?: boolean
  result(world: World, params: Params, shape: Shape): unknown
  take?(world: World, params: Params): void
}

const channel = ['platform', 'platformid']
const chat = [...channel, 'destination']

/** The conversation that the parameters name. */
export const address = ({ platform = '', platformid = '', destination = '' }: Params): Address => ({ platform, platformid, destination })

const send = (method: Sent['method'], names: readonly string[]) => (world: World, params: Params) => {
  const content = Object.fromEntries(names.flatMap(name => (params[name] === undefined ? [] : [[name, params[name]]])))
  world.take({ method, ...address(params), ...content })
}

/** The methods of each class, in the manual's words, and what they do. */
export const operations: Record<string, Record<string, Operation>> = {
  user: { getbalance: { needs: [], result: () => '100.00' } },
  chat: {
    getchatchannels: { needs: [], result: (world, _, shape) => listResult(world.channels, shape, 'sent') },
    sendmessage: {
      needs: [...chat, 'message'],
      magicIn: 'destination',
      result: (_world, _params, shape) => sendResult(shape),
      take: send('sendmessage', ['message']),
    },
    sendfile: {
      needs: [...chat, 'type', 'fileurl'],
      may: ['thumburl', 'message'],
      magicIn: 'destination',
      opened: true,
      result: (_world, _params, shape) => sendResult(shape),
      take: send('sendfile', ['message', 'type', 'fileurl', 'thumburl']),
    },
    getchats: {
      needs: channel,
      magicIn: 'platformid',
      result: (world, { platform = '', platformid = '' }, shape) =>
        listResult(arrange(world.chats(platform, platformid), 'newest-first', shape, shape.maxChats), shape, 'sent'),
    },
    getmessages: {
      needs: chat,
      magicIn: 'destination',
      opened: true,
      result: (world, params, shape) =>
        listResult(arrange(world.messages(address(params)), 'oldest-first', shape, shape.maxRows), shape, 'sent'),
    },
    getunreadmessages: {
      needs: chat,
      magicIn: 'destination',
      opened: true,
      result: (world, params, shape) => listResult(world.unread(address(params)), shape, 'issent'),
      // Unknown of Afilnet. It is the harsher possibility, so a client that survives it survives both.
      take: (world, params) => world.markRead(address(params)),
    },
  },
}
