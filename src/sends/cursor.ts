import { invalidParameter } from '../problem/invalid-request.ts'

/** The cursor of the page after the send with this id. */
export const cursorOf = (id: string) => Buffer.from(id).toString('base64url')

/** The id in a cursor. */
export function idOf(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw invalidParameter('query', 'cursor', 'is not the nextCursor of a page')
  return id
}
