import { randomUUID } from 'node:crypto'
import { Problem, type ProblemBody, problemBody } from '../problem/problem.ts'
import type { NewSend, Outcome, SendRow } from '../store/store.ts'

/** A send as its caller sees it. */
export type Send = Pick<SendRow, 'id' | 'kind' | 'platform' | 'platformId' | 'destination' | 'state' | 'idempotencyKey' | 'reference'> & {
  createdAt: string
  settledAt?: string
  problem?: ProblemBody
}

/** A row of the ledger as its caller sees it. */
export function describeSend(row: SendRow, base: string): Send {
  const { id, kind, platform, platformId, destination, state, idempotencyKey, reference, createdAt, settledAt } = row
  const problem = problemIn(row, base)
  return {
    id,
    kind,
    platform,
    platformId,
    destination,
    state,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(reference !== undefined && { reference }),
    createdAt: new Date(createdAt).toISOString(),
    ...(settledAt !== undefined && { settledAt: new Date(settledAt).toISOString() }),
    ...(problem && { problem }),
  }
}

/** The end of a send that Afilnet took. */
export const accepted = (settledAt: number): Outcome => ({ state: 'accepted', settledAt, answer: '' })

/** How a delivery that failed leaves the send, with the answer that its caller is given now and later. */
export function outcomeOf(
  problem: Problem,
  { id, idempotencyKey }: NewSend,
  { base, requestId, settledAt }: { base: string; requestId: string; settledAt: number },
): Outcome {
  const refused = problem.row.status < 500
  const told = new Problem(problem.code, { ...problem.details, sendId: id, keyed: idempotencyKey !== undefined })
  return {
    state: problem.outcome === 'unknown' ? 'unknown' : refused ? 'rejected' : 'not_sent',
    settledAt,
    answer: JSON.stringify(problemBody(told, { base, requestId, instance: randomUUID() })),
  }
}

function problemIn({ id, idempotencyKey, state, answer }: SendRow, base: string): ProblemBody | undefined {
  if (answer) return JSON.parse(answer) as ProblemBody // written by outcomeOf
  if (state !== 'unknown') return undefined
  // Nobody was left to write an answer down, so it is made from the row, the same each time.
  const interrupted = new Problem('send-interrupted', { outcome: 'unknown', sendId: id, keyed: idempotencyKey !== undefined })
  return problemBody(interrupted, { base, requestId: id, instance: id })
}
