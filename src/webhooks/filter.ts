import { allows } from '../access.ts'
import type { LoggedEvent } from '../store/event-log.ts'
import type { WebhookConfig } from './ports.ts'

/** Whether a webhook gets an event; a gap passes every filter of types. */
export function passes({ types, chats }: Pick<WebhookConfig, 'types' | 'chats'>, event: LoggedEvent): boolean {
  const { type, platform, platformId, destination } = event
  if (types && type !== 'gap' && !types.includes(type)) return false
  if (!chats || platform === null) return true
  return destination === null ? allows(chats, platform, platformId) : allows(chats, platform, platformId, destination)
}
