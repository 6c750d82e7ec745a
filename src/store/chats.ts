import type { Conversation } from './store.ts'

/** Names a conversation for the order of the queue. */
export const chatKeyOf = ({ user, platform, platformId, destination }: Conversation) =>
  JSON.stringify([user, platform, platformId, destination])
