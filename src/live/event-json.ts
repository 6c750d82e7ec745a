import { normalizeDestination } from '../access.ts'
import type { NewEvent } from '../store/event-log.ts'
import type { SendRow } from '../store/store.ts'
import type { Message } from './ports.ts'

/** A send as its caller sees it. */
export type DescribeSend = (row: SendRow) => object

/** The Event on one line of JSON; `message` is that of a message's event. */
export function writeEvent(event: NewEvent, id: string, message: Message | null, describeSend: DescribeSend): string {
  const { type, at, platform, platformId, destination, messageId, direction, reason, send } = event
  return JSON.stringify({
    id,
    type,
    at: new Date(at).toISOString(),
    platform,
    platformId,
    destination,
    messageId,
    direction,
    ...(isOfMessage(event) && { message }),
    ...(send !== undefined && { send: describeSend(JSON.parse(send) as SendRow) }), // as the store wrote it
    ...(reason !== undefined && { reason }),
  })
}

/** The message as consumers of certain chats may see it: none if it names another chat than its event, which `rows` of an account lets pass. */
export function ownMessage({ platform, destination }: NewEvent, message: Message | null): Message | null {
  const named = message?.destination ?? destination
  return normalizeDestination(platform ?? '', named?.trim() ?? '') === destination ? message : null
}

export const isOfMessage = ({ type }: NewEvent) => type === 'message.created' || type === 'message.updated'
