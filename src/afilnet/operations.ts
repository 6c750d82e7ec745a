/** One operation of Afilnet's class `chat`, in the words of Afilnet's manual. */
export type Operation = {
  /** What its answer holds: a list of channels, a list of messages, or no list because it sends. */
  kind: 'channels' | 'messages' | 'send'
  method: string
  required: readonly string[]
  optional: readonly string[]
  /** The documented fields of a `result.list` row. */
  row: readonly string[]
  /** Repeating or sharing it changes nothing at Afilnet. `false` also if that is unknown. */
  safe: boolean
  /** The error codes that the manual lists for it, beyond `everyOperation`. */
  errors: readonly string[]
}

/** The error codes that the manual lists for all six operations. */
export const everyOperation = [
  'MISSING_USER',
  'MISSING_PASSWORD',
  'MISSING_CLASS',
  'MISSING_METHOD',
  'MISSING_COMPULSORY_PARAM',
  'INCORRECT_USER_PASSWORD',
  'INCORRECT_CLASS',
  'INCORRECT_METHOD',
] as const

const messageRow = ['platformid', 'platform', 'message', 'destination', 'messageid', 'sent', 'status', 'datetime'] as const
const unreadRow = ['platformid', 'platform', 'message', 'destination', 'messageid', 'issent', 'status', 'datetime'] as const

export const getChatChannels = {
  kind: 'channels',
  method: 'getchatchannels',
  required: [],
  optional: [],
  row: ['platformid', 'platform', 'name'],
  safe: true,
  errors: [],
} as const satisfies Operation

export const sendMessage = {
  kind: 'send',
  method: 'sendmessage',
  required: ['platform', 'platformid', 'destination', 'message'],
  optional: [],
  row: [],
  safe: false,
  errors: ['CHANNEL_NOT_FOUND'],
} as const satisfies Operation

export const sendFile = {
  kind: 'send',
  method: 'sendfile',
  required: ['platform', 'platformid', 'destination', 'type', 'fileurl'],
  optional: ['thumburl', 'message'],
  row: [],
  safe: false,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND', 'INCORRECT_FILETYPE', 'INCORRECT_FILEURL', 'INCORRECT_THUMBURL'],
} as const satisfies Operation

export const getChats = {
  kind: 'messages',
  method: 'getchats',
  required: ['platform', 'platformid'],
  optional: [],
  row: messageRow,
  safe: true,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const getMessages = {
  kind: 'messages',
  method: 'getmessages',
  required: ['platform', 'platformid', 'destination'],
  optional: [],
  row: messageRow,
  safe: true,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const getUnreadMessages = {
  kind: 'messages',
  method: 'getunreadmessages',
  required: ['platform', 'platformid', 'destination'],
  optional: [],
  row: unreadRow,
  safe: false, // it may mark what it returns as read
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const operations = [getChatChannels, sendMessage, sendFile, getChats, getMessages, getUnreadMessages] as const

/** What the caller of an operation passes, by Afilnet's names. */
export type Params<O extends Operation> = Record<O['required'][number], string> & { [K in O['optional'][number]]?: string | undefined }

type Field<K> = K extends 'sent' | 'issent' ? boolean | null : string | null

/** One row of an answer, read: ids and numbers as text, `sent` and `issent` both as `sent`, anything undocumented in `extra`. */
export type Row<O extends Operation = Operation> = {
  [K in O['row'][number] as K extends 'issent' ? 'sent' : K]: Field<K>
} & { extra?: Record<string, unknown> }
