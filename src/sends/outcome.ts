import { randomUUID } from 'node:crypto'
import { Problem, type ProblemBody, problemBody } from '../problem/problem.ts'
import type { NewSend, Outcome, SendRow, SettledBy } from '../store/store.ts'
import { writtenKey } from './request.ts'

/** A send as its caller sees it. */
export type DescribedSend = Pick<SendRow, 'id' | 'kind' | 'platform' | 'platformId' | 'destination' | 'state'> &
  Pick<SendRow, 'idempotencyKey' | 'reference' | 'actor' | 'messageId' | 'settledBy' | 'note'> & {
    createdAt: string
    settledAt?: string
    sendAt?: string
    expiresAt?: string
    delivery?: { status: string; at: string }
    problem?: ProblemBody
  }

/** A row of the ledger as its caller sees it. */
export function describeSend(row: SendRow, base: string): DescribedSend {
  const { id, kind, platform, platformId, destination, state, idempotencyKey, reference, actor, settledAt } = row
  const { messageId, deliveryStatus, deliveryAt, settledBy, note } = row
  const send: DescribedSend = { id, kind, platform, platformId, destination, state, createdAt: new Date(row.createdAt).toISOString() }
  if (idempotencyKey !== undefined) send.idempotencyKey = writtenKey(idempotencyKey)
  if (reference !== undefined) send.reference = reference
  if (actor) send.actor = actor
  if (settledAt !== undefined) send.settledAt = new Date(settledAt).toISOString()
  if (row.dueAt !== undefined) send.sendAt = new Date(row.dueAt).toISOString()
  if (row.expiresAt !== undefined) send.expiresAt = new Date(row.expiresAt).toISOString()
  if (settledBy !== undefined) send.settledBy = settledBy
  if (note !== undefined) send.note = note
  if (messageId !== undefined) send.messageId = messageId
  if (deliveryStatus !== undefined && deliveryAt !== undefined)
    send.delivery = { status: deliveryStatus, at: new Date(deliveryAt).toISOString() }
  const problem = problemIn(row, base)
  if (problem) send.problem = problem
  return send
}

/** The outcome of a send: accepted without a problem, else with the answer that its caller gets now and with each replay. */
export function outcomeOf(
  problem: Problem | undefined,
  { id, idempotencyKey }: Pick<NewSend, 'id' | 'idempotencyKey'>,
  { base, requestId, settledAt, settledBy }: { base: string; requestId: string; settledAt: number; settledBy?: SettledBy | undefined },
): Outcome {
  const by = settledBy && { settledBy }
  if (!problem) return { state: 'accepted', settledAt, answer: '', ...by }
  const refused = problem.row.status < 500
  const state = problem.outcome === 'unknown' ? 'unknown' : refused ? 'rejected' : 'not_sent'
  const answer = new Problem(problem.code, { ...problem.details, sendId: id, keyed: idempotencyKey !== undefined })
  return {
    state,
    settledAt,
    ...(state !== 'unknown' && by),
    answer: JSON.stringify(problemBody(answer, { base, requestId, instance: randomUUID() })),
  }
}

function problemIn({ id, idempotencyKey, state, answer }: SendRow, base: string): ProblemBody | undefined {
  if (answer) return JSON.parse(answer) as ProblemBody // written by outcomeOf
  if (state === 'expired') return problemBody(new Problem('send-expired', { sendId: id }), { base, requestId: id, instance: id })
  if (state !== 'unknown') return undefined
  // The process ended before it could store an answer, so the answer is made from the row: the same each time.
  const interrupted = new Problem('send-interrupted', { outcome: 'unknown', sendId: id, keyed: idempotencyKey !== undefined })
  return problemBody(interrupted, { base, requestId: id, instance: id })
}
