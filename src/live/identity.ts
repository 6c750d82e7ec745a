import { createHmac } from 'node:crypto'
import { type ListedRow, messageIdOf, newMessage, nextNumber } from './conversation.ts'

/** A row of a list as it identifies a message. */
export type ListedMessage = {
  messageId: string | null
  message: string | null
  sent: boolean | null
  status: string | null
  datetime: string | null
}

const digestChars = 16 // 96 bits, within one conversation

/** Names the content of a row under a key, so that what is stored reveals no text. */
export function digestOf({ datetime, sent, message }: ListedMessage, secret: Uint8Array): string {
  const content = JSON.stringify([datetime, sent, message])
  return createHmac('sha256', secret).update(`message ${content}`).digest('base64url').slice(0, digestChars)
}

/** PHP writes an absent id in several ways. */
const noIds = new Set<string | null>([null, '', '0'])

/** A listed message as a row that `advance` takes. */
export function rowOf(listed: ListedMessage, secret: Uint8Array): ListedRow {
  const { messageId, datetime, status } = listed
  return { id: noIds.has(messageId) ? null : messageId, digest: digestOf(listed, secret), datetime, status }
}

/** Finds the message of an event in a list that was read later; equal rows without an id are as good as each other. */
export function findMessage<M extends ListedMessage>(messageId: string, list: readonly M[], secret: Uint8Array): M | undefined {
  const withId = list.find(listed => listed.messageId === messageId)
  if (withId) return withId
  const digest = /^row-([\w-]{16})-\d+$/.exec(messageId)?.[1]
  return digest === undefined ? undefined : list.find(listed => digestOf(listed, secret) === digest)
}

/** The stable ids of the messages of a list by itself, as `advance` gives them to those that it has not seen before. */
export function messageIdsOf(list: readonly ListedMessage[], secret: Uint8Array): string[] {
  const numbers = new Map<string, number>()
  return list.map(listed => {
    const row = rowOf(listed, secret)
    return messageIdOf(newMessage(row, nextNumber(numbers, row)))
  })
}
