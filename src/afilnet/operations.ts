/** One operation of Afilnet's class `chat`, in the words of Afilnet's manual. */
export type Operation = {
  method: string
  compulsory: readonly string[]
  optional: readonly string[]
  /** The documented fields of a `result.list` row; `null` where the answer carries no list. */
  row: readonly string[] | null
  /** Repeating or sharing it changes nothing at Afilnet. `false` also where nobody knows. */
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
  method: 'getchatchannels',
  compulsory: [],
  optional: [],
  row: ['platformid', 'platform', 'name'],
  safe: true,
  errors: [],
} as const satisfies Operation

export const sendMessage = {
  method: 'sendmessage',
  compulsory: ['platform', 'platformid', 'destination', 'message'],
  optional: [],
  row: null,
  safe: false,
  errors: ['CHANNEL_NOT_FOUND'],
} as const satisfies Operation

export const sendFile = {
  method: 'sendfile',
  compulsory: ['platform', 'platformid', 'destination', 'type', 'fileurl'],
  optional: ['thumburl', 'message'],
  row: null,
  safe: false,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND', 'INCORRECT_FILETYPE', 'INCORRECT_FILEURL', 'INCORRECT_THUMBURL'],
} as const satisfies Operation

export const getChats = {
  method: 'getchats',
  compulsory: ['platform', 'platformid'],
  optional: [],
  row: messageRow,
  safe: true,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const getMessages = {
  method: 'getmessages',
  compulsory: ['platform', 'platformid', 'destination'],
  optional: [],
  row: messageRow,
  safe: true,
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const getUnreadMessages = {
  method: 'getunreadmessages',
  compulsory: ['platform', 'platformid', 'destination'],
  optional: [],
  row: unreadRow,
  safe: false, // it may mark what it returns as read
  errors: ['CHANNEL_NOT_FOUND', 'CHAT_NOT_FOUND'],
} as const satisfies Operation

export const operations = [getChatChannels, sendMessage, sendFile, getChats, getMessages, getUnreadMessages] as const

/** What the caller of an operation passes, by Afilnet's names. */
export type Params<O extends Operation> = Record<O['compulsory'][number], string> & { [K in O['optional'][number]]?: string | undefined }

type Field<K> = K extends 'sent' | 'issent' ? boolean | null : string | null

/** One row of an answer, read: ids and numbers as text, `sent` and `issent` both as `sent`, anything undocumented in `extra`. */
export type Row<O extends Operation = Operation> = {
  [K in NonNullable<O['row']>[number] as K extends 'issent' ? 'sent' : K]: Field<K>
} & { extra?: Record<string, unknown> }
