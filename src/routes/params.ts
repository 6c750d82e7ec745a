import { type Static, Type } from '@sinclair/typebox'
import { oneOf } from '../lib/string-enum.ts'

export const platforms = ['webchat', 'whatsapp', 'telegram', 'operator'] as const

const Platform = oneOf(platforms, {
  description: 'The messaging platform',
  examples: ['whatsapp'],
})

// No control characters, in words that mean the same with and without the `u` flag: Swagger UI checks without it.
const printable = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$'

const id = (description: string, example: string) =>
  Type.String({ minLength: 1, maxLength: 128, pattern: printable, description, examples: [example] })

const platformId = id('Which of your numbers, bots or widgets', '100')
const destination = id(
  'The other side of the conversation; for WhatsApp a number with its country code and no plus sign, never a list. With the sandbox, one of its magic destinations.',
  '34600000000',
)

/** The path of one channel. */
export type ChannelParams = Static<typeof ChannelParams>
export const ChannelParams = Type.Object({ platform: Platform, platformId })

/** The path of one conversation. A WhatsApp destination that reads like a list could reach more than one person. */
export type ChatParams = Static<typeof ChatParams>
export const ChatParams = Type.Object(
  { platform: Platform, platformId, destination },
  {
    if: { properties: { platform: { const: 'whatsapp' } } },
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own keyword
    then: { properties: { destination: { type: 'string', pattern: '^[^,;|\\s]*$' } } },
  },
)

/** Text that UTF-8 can carry: no half of a surrogate pair. */
export const text = (options: { description: string; examples: string[]; minLength?: number; maxLength?: number }) =>
  Type.String({ pattern: '^\\P{Cs}*$', ...options })

/** A field that Afilnet documents, and may leave out all the same. */
export const Nullable = (options: { description?: string; examples?: (string | null)[] } = {}) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], ...options })
