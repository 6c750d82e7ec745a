import { hash } from 'node:crypto'

/** A place in the log of an account: behind the event of that position. */
export type Cursor = { identity: string; position: number }

/** A few characters that tell the cursors of accounts apart. */
const tagOf = (account: string) => hash('sha256', `events ${account}`, 'base64url').slice(0, 4)

/**
 * The id of an event, which is its cursor: where a consumer goes on. A `gap` that is made for a consumer has an id of its own, beside that
 * of an event of the same position.
 */
export const cursorOf = (account: string, { identity, position }: Cursor, isGap = false): string =>
  `${tagOf(account)}${identity}${position.toString(36)}${isGap ? '.' : ''}`

const form = /^([\w-]{4})([\w-]{8})([0-9a-z]{1,11})\.?$/

/** Reads a cursor of this account; `undefined` if it is malformed or another account's. */
export function readCursor(account: string, text: string): Cursor | undefined {
  const [, tag, identity = '', digits = ''] = form.exec(text) ?? []
  const position = Number.parseInt(digits, 36)
  return tag === tagOf(account) && Number.isSafeInteger(position) ? { identity, position } : undefined
}
