import { createHmac, type KeyObject } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import { type Chat, normalizeDestination, scopeOf } from '../access.ts'
import type { NewSend, SendRow } from '../store/store.ts'
import type { SendAttempt } from './attempt.ts'

/** A send that a caller asks for, and the attempt that takes it to Afilnet. */
export type SendRequest = Pick<NewSend, 'caller' | 'account' | 'user' | 'kind' | 'platform' | 'platformId' | 'destination'> & {
  /** The id of the send, if something was stored for it: of `newSendId`. */
  id?: string | undefined
  reference?: string | undefined
  idempotencyKey?: string | undefined
  /** Who uses the token that the request was made with; absent for a key. */
  actor?: string | undefined
  /** How many sends the caller may make in a day of UTC. */
  sendsPerDay?: number | undefined
  /** The validated body; the ledger keeps only HMACs of it and of its text. */
  body: Record<string, unknown>
  requestId: string
  attempt: SendAttempt
  /** The send waits: when it is due, when it is too late, and how its body is encrypted under its id. */
  queue?: { dueAt: number; expiresAt: number; seal(id: string): string } | undefined
}

/** Ids are in the order of time. */
export const newSendId = (): string => uuid()

/** A key as the ledger has it. That of a token belongs to its actor and chat too: their name stands before it, with a blank, which no key contains. */
export const ledgerKey = (key: string, actor: string | undefined, chat: Chat) =>
  actor === undefined ? key : `${scopeOf(actor, chat)} ${key}`

/** A key as its caller wrote it. */
export const writtenKey = (key: string) => key.slice(key.lastIndexOf(' ') + 1)

/** The row that a request is recorded as before it leaves. */
export function newSend(request: SendRequest, { secret, owner, now }: { secret: KeyObject; owner: string; now: () => number }): NewSend {
  const { caller, account, user, kind, platform, platformId, destination, reference, idempotencyKey, actor, queue } = request
  const fingerprint = fingerprintOf(request, secret)
  const id = request.id ?? newSendId() // first: its time is never later than `createdAt`
  const row: NewSend = { id, caller, account, user, kind, platform, platformId, destination, fingerprint, owner, createdAt: now() }
  if (reference !== undefined) row.reference = reference
  if (idempotencyKey !== undefined) row.idempotencyKey = ledgerKey(idempotencyKey, actor, request)
  if (actor !== undefined) row.actor = actor
  if (queue) Object.assign(row, { dueAt: queue.dueAt, expiresAt: queue.expiresAt })
  const { message } = request.body
  if (typeof message === 'string') row.textDigest = textDigest(message, secret)
  return row
}

/**
 * Whether the request that made a row is made again.
 *
 * Earlier releases stored and hashed a WhatsApp number as the caller wrote it.
 */
export function isRepeated({ destination, fingerprint }: SendRow, request: SendRequest, secret: KeyObject): boolean {
  if (fingerprint === fingerprintOf(request, secret)) return true
  if (destination === request.destination || normalizeDestination(request.platform, destination) !== request.destination) return false
  return fingerprint === fingerprintOf({ ...request, destination }, secret)
}

/**
 * What the ledger keeps of a text: enough to find the message in its conversation, and nothing that anyone without the secret could read.
 *
 * Afilnet may normalize line breaks, accents and blanks at the ends.
 */
export const textDigest = (text: string, secret: KeyObject): string =>
  createHmac('sha256', secret)
    .update(`text ${text.normalize('NFC').replaceAll('\r\n', '\n').trim()}`)
    .digest('base64url')
    .slice(0, 22)

/** The HMAC of what must be the same when a key is used again: the route, the decoded path and the body, in any order of its properties. */
function fingerprintOf({ kind, platform, platformId, destination, body }: SendRequest, secret: KeyObject): string {
  const properties = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1))
  const canonical = JSON.stringify([kind, platform, platformId, destination, properties])
  return createHmac('sha256', secret).update(canonical).digest('base64url')
}
