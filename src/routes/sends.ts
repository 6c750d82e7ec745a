import { type Static, Type } from '@sinclair/typebox'
import { v7 as uuid } from 'uuid'
import { type ChatParams, oneOf, Platform, text } from './params.ts'

/** The caller's own label of a send. */
export const reference = Type.Optional(
  text({ maxLength: 128, description: 'Your own label, kept with the send', examples: ['order-4711'] }),
)

/** The header of both POST routes. */
export const SendHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'Unique to the message: 1 to 255 visible ASCII characters',
      examples: ['order-4711-shipped'],
    }),
  ),
})

/** A message or file that was handed to Afilnet. */
export type Send = Static<typeof Send>
export const Send = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: oneOf(['message', 'file']),
    platform: Platform,
    platformId: Type.String(),
    destination: Type.String(),
    state: Type.Literal('accepted', { description: 'Afilnet took it, which does not say that it was delivered' }),
    reference: Type.Optional(Type.String()),
    createdAt: Type.String({ format: 'date-time' }),
    settledAt: Type.String({ format: 'date-time' }),
  },
  {
    $id: 'Send',
    examples: [
      {
        id: '019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b',
        kind: 'message',
        platform: 'whatsapp',
        platformId: '100',
        destination: '34600000000',
        state: 'accepted',
        reference: 'order-4711',
        createdAt: '2026-01-31T09:30:00.000Z',
        settledAt: '2026-01-31T09:30:00.250Z',
      },
    ],
  },
)

/** Runs one send and describes it. */
export async function sendThrough(
  kind: Send['kind'],
  chat: ChatParams,
  reference: string | undefined,
  send: () => Promise<void>,
): Promise<Send> {
  const id = uuid()
  const createdAt = new Date().toISOString()
  await send()
  return {
    id,
    kind,
    ...chat,
    state: 'accepted',
    ...(reference !== undefined && { reference }),
    createdAt,
    settledAt: new Date().toISOString(),
  }
}
