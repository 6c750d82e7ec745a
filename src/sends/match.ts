import type { SendRow } from '../store/store.ts'

/**
 * An outgoing row of a conversation that has the text of a send. Times are epoch milliseconds by the clock of this machine.
 *
 * `absentAt`: the row was not there then, so it is no send that had ended before. `newTo`: a send that began by then began before the row was
 * there. `seenAt`: the row was there, so it is no send that began later.
 */
export type Sighting = { messageId: string; absentAt: number; newTo: number; seenAt: number }

/** What is known of a send with that text in that conversation, by any caller. */
export type Candidate = Pick<SendRow, 'id' | 'state' | 'settledAt' | 'messageId'> & { beganAt: number }

/** Afilnet may take a message that long after the gateway gave the send up. */
const lateMs = 60_000

const possible = new Set<SendRow['state']>(['pending', 'accepted', 'unknown'])

/**
 * The one row that a send can have become, or nothing if that is not certain.
 *
 * It must be the only row with the text that was not there before the send and is no other send's, and no other send may be able to be it.
 */
export function rowOf(send: Candidate, candidates: readonly Candidate[], sightings: readonly Sighting[]): Sighting | undefined {
  const others = candidates.filter(({ id, state }) => id !== send.id && possible.has(state))
  const taken = new Set(others.map(({ messageId }) => messageId))
  const [row, ...more] = sightings.filter(({ messageId, newTo }) => send.beganAt <= newTo && !taken.has(messageId))
  if (!row || more.length > 0) return undefined
  return others.some(other => other.messageId === undefined && canBe(other, row)) ? undefined : row
}

function canBe({ state, beganAt, settledAt }: Candidate, { absentAt, seenAt }: Sighting) {
  if (beganAt > seenAt) return false
  return settledAt === undefined || settledAt + (state === 'unknown' ? lateMs : 0) >= absentAt
}
