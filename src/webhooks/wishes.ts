import { isObject } from '../lib/is-object.ts'

/** What an operator asks of the process that delivers: to begin again after a position, to try failed events again, to end a pause. */
export type Wish = { kind: 'after'; position: number } | { kind: 'failed' } | { kind: 'resume' }

/** Reads a wish that was saved as JSON; nothing for what a newer release wrote. */
export function readWish(text: string): Wish | undefined {
  const wish: unknown = JSON.parse(text)
  return isObject(wish) && ['after', 'failed', 'resume'].includes(String(wish.kind)) ? (wish as Wish) : undefined // as written
}
