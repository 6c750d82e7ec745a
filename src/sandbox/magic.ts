import type { ScriptedResponse } from './scripted-responses.ts'

/** Destinations that answer with the error code they are named after. */
export const magicCodes: ReadonlySet<string> = new Set([
  'MISSING_USER',
  'MISSING_PASSWORD',
  'MISSING_CLASS',
  'MISSING_METHOD',
  'MISSING_COMPULSORY_PARAM',
  'INCORRECT_USER_PASSWORD',
  'INCORRECT_CLASS',
  'INCORRECT_METHOD',
  'CHANNEL_NOT_FOUND',
  'CHAT_NOT_FOUND',
  'INCORRECT_FILETYPE',
  'INCORRECT_FILEURL',
  'INCORRECT_THUMBURL',
  'NO_CREDITS',
  'NO_ROUTE_AVAILABLE',
  'NOT_ACCESS_TO_TEMPLATE',
])

const behaviours = {
  slow: { delayMs: 3000 },
  silent: { fault: 'silent' },
  html: { fault: 'html' },
  truncated: { fault: 'truncated' },
  drops: { fault: 'drop' },
  resets: { fault: 'reset' },
} satisfies Record<string, ScriptedResponse>

/** Destinations that behave as they are called, and whose conversation is there without having been opened. */
export const magicWords: ReadonlyMap<string, ScriptedResponse> = new Map(Object.entries(behaviours))
