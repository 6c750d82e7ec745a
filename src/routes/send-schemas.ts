import { type Static, Type } from '@sinclair/typebox'
import { oneOf, openWord } from '../lib/string-enum.ts'
import { ProblemBody } from '../problem/problem.ts'
import { sendStates, settlers } from '../store/store.ts'
import { cursorList } from './lists.ts'
import { AnsweredPlatform, ref, text } from './params.ts'

/** For the API document. */
export const sendExample = {
  id: '019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b',
  kind: 'message',
  platform: 'whatsapp',
  platformId: '100',
  destination: '34600000000',
  state: 'accepted',
  idempotencyKey: 'order-4711-shipped',
  reference: 'order-4711',
  createdAt: '2026-01-31T09:30:00.000Z',
  settledAt: '2026-01-31T09:30:00.250Z',
  settledBy: 'answer',
}

const { settledAt, settledBy, idempotencyKey, reference, ...open } = sendExample
export const queuedExample = { ...open, state: 'queued' }
export const canceledExample = { ...open, state: 'canceled' }

/** A message or file, and what became of it. */
export type Send = Static<typeof Send>
export const Send = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: Type.Unsafe<'message' | 'file'>(openWord(['message', 'file'], 'What it sends.')),
    platform: AnsweredPlatform,
    platformId: Type.String(),
    destination: Type.String(),
    state: openWord(
      sendStates,
      '`accepted`: Afilnet took it, which does not say that it was delivered. `rejected`: Afilnet refused what was asked. `not_sent`: nothing happened. `unknown`: it may have been sent.',
    ),
    idempotencyKey: Type.Optional(Type.String()),
    reference: Type.Optional(Type.String()),
    actor: Type.Optional(Type.String({ description: 'Who used the token that it was made with' })),
    createdAt: Type.String({ format: 'date-time' }),
    settledAt: Type.Optional(Type.String({ format: 'date-time' })),
    sendAt: Type.Optional(Type.String({ format: 'date-time', description: 'When a queued send is due' })),
    expiresAt: Type.Optional(Type.String({ format: 'date-time', description: 'After this a queued send is not attempted' })),
    settledBy: Type.Optional(
      openWord(settlers, 'Who said how it ended. `read-back`: it was found in the conversation, which is an inference.'),
    ),
    note: Type.Optional(Type.String({ description: 'What was written when it was settled by hand' })),
    messageId: Type.Optional(Type.String({ description: 'The message that it became, once found in the conversation' })),
    delivery: Type.Optional(
      Type.Object(
        { status: Type.String(), at: Type.String({ format: 'date-time' }) },
        { description: "Afilnet's own word, and when the gateway first saw it" },
      ),
    ),
    problem: Type.Optional(ref(ProblemBody)),
  },
  { $id: 'Send', examples: [sendExample] },
)

/** A page of sends. */
export const SendPage = cursorList('SendPage', Send, 'MDE5YTBiMWMtMmQzZS03ZjQwLThhNWItNmM3ZDhlOWYwYTFi')

/** What a person found out about an unknown send. */
export const SendVerdict = Type.Object(
  {
    state: oneOf(['accepted', 'rejected', 'not_sent'], { description: '`not_sent` frees the key; else the key replays this result' }),
    note: Type.Optional(text({ maxLength: 1_000, description: 'Shown in the send', examples: ['Seen in the app by Ana'] })),
  },
  { $id: 'SendVerdict', additionalProperties: false, examples: [{ state: 'accepted', note: 'Seen in the app by Ana' }] },
)
