import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { platforms } from '../access.ts'
import { openWord } from '../lib/string-enum.ts'

/** A schema by its name, under which the API document has it once. */
export const ref = <T extends TSchema>({ $id }: T) => Type.Unsafe<Static<T>>(Type.Ref(String($id)))

/** A platform in a request; a string, so that a value from an answer can be passed on as it is. */
export const Platform = Type.String({
  $id: 'Platform',
  pattern: `^(${platforms.join('|')})$`,
  description: 'The messaging platform: `webchat`, `whatsapp`, `telegram` or `operator`.',
  examples: ['whatsapp'],
})

const platform = ref(Platform)

const id = (pattern: string, description: string, example: string) =>
  Type.String({ minLength: 1, maxLength: 128, pattern, description, examples: [example] })

// `\x` and no `\u`: the patterns mean the same in ECMA-262 with and without `u`, Python, Java, Go and .NET.
const platformId = id('^[^\\x00-\\x1f\\x7f-\\x9f]*$', 'Which of your numbers, bots or widgets, as `GET /channels` lists it.', '100')
const destination = id(
  '^[^,;\\|\\x00-\\x1f\\x7f-\\x9f]*$',
  'One recipient. On WhatsApp a number of 7 to 15 digits with its country code; separators such as `+` are removed.',
  '34600000000',
)

/** A platform in an answer. */
export const AnsweredPlatform = openWord(platforms, 'Its platform.')

/** The path of one channel. */
export type ChannelParams = Static<typeof ChannelParams>
export const ChannelParams = Type.Object({ platform, platformId })

/** The path of one conversation. */
export type ChatParams = Static<typeof ChatParams>
export const ChatParams = Type.Object({ platform, platformId, destination })

/** Text that UTF-8 can carry; `wellFormed` is a keyword of the gateway, which the published document leaves out. */
export const text = (options: { description: string; examples: string[]; minLength?: number; maxLength?: number }) =>
  Type.String({ wellFormed: true, ...options })

/** Knows half of a surrogate pair, for which no pattern is portable. */
export const wellFormed = { keyword: 'wellFormed', type: 'string', validate: (_: true, text: string) => text.isWellFormed() } as const

/** A field that Afilnet documents, and may leave out all the same. */
export const Nullable = (options: { description?: string; examples?: (string | null)[] } = {}) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], ...options })
