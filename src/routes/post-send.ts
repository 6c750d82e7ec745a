import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../problem/problem.ts'
import type { SendAttempt } from '../sends/attempt.ts'
import type { Sends } from '../sends/sends.ts'
import { type ChatParams, ref, text } from './params.ts'
import { prefer, queueOf, type Seal } from './queueing.ts'
import { canceledExample, queuedExample, Send } from './send-schemas.ts'

/** The caller's own label of a send. */
export const reference = Type.Optional(
  text({ maxLength: 128, description: 'Your own label, kept with the send', examples: ['order-4711'] }),
)

/** What a send means, for the API document. */
export const sendDescription = (what: string) =>
  `Sends ${what} to one recipient. Give each send its own \`Idempotency-Key\`: then you can repeat the request after a lost answer, and it never sends twice. 201 means that Afilnet accepted it, not that it was delivered; \`GET /sends/{id}\` says what became of it.`

/** The header of both POST routes. */
export const SendHeaders = Type.Object({
  prefer,
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]*$',
      description:
        'Unique to the message: 1 to 255 visible ASCII characters. The same request with the same key never sends twice: it gets the result of the first one.',
      examples: ['order-4711-shipped'],
    }),
  ),
})

/** What the POST routes need beside Afilnet. */
export type SendRoute = { sends: Sends; base: string; keyRequired: boolean; seal: Seal }
type PostRequest = Pick<FastifyRequest, 'id' | 'call' | 'caller'> & { params: ChatParams; headers: Static<typeof SendHeaders> }

const answer = ref(Send)

/** What both POST routes answer; `example` is a send. */
export const sendAnswers = (example: object) => ({
  200: { description: 'It was canceled, or expired', content: { 'application/json': { schema: answer, example: canceledExample } } },
  201: { description: 'Afilnet took it', content: { 'application/json': { schema: answer, example } } },
  202: { description: 'It is queued', content: { 'application/json': { schema: answer, example: queuedExample } } },
})

/** The errors that the ledger adds to a POST route. */
export const ledgerErrors = [
  'idempotency-key-required',
  'idempotency-key-in-use',
  'idempotency-key-reused',
  'send-interrupted',
  'send-settled-rejected',
  'send-quota-exceeded',
  'queue-not-enabled',
  'store-unavailable',
  'ledger-changed',
] as const

/**
 * What a POST gives to Afilnet. `id` is the id of the send if files were stored for it; `keepUntil` keeps them until a queued send ends. With a
 * `refusal`, which its attempt throws, it only gets what its key already has. By its `body` a repetition is known.
 */
type Prepared = {
  id?: string
  attempt: SendAttempt
  refusal?: Problem | undefined
  params: object
  body: Record<string, unknown> & { reference?: string; sendAt?: string; expiresAt?: string }
  keepUntil?: (endsAt: number) => Promise<void>
}

/** Records and runs a send: what both POST routes do. */
export async function postSend(
  kind: Send['kind'],
  request: PostRequest,
  reply: FastifyReply,
  { id, attempt, refusal, params: sealed, body, keepUntil }: Prepared,
  { sends, base, keyRequired, seal }: SendRoute,
) {
  const { id: requestId, params, headers, call, caller } = request
  const idempotencyKey = headers['idempotency-key']
  if (keyRequired && idempotencyKey === undefined) throw new Problem('idempotency-key-required')
  const queue = refusal ? undefined : queueOf({ headers, body }, sealed, seal)
  if (queue) await keepUntil?.(queue.expiresAt)
  const { send, status, replayed } = await sends.run({
    ...params,
    id,
    caller: call.caller,
    account: call.account.name,
    user: call.account.user,
    sendsPerDay: caller.rateLimit?.sendsPerDay,
    kind,
    reference: body.reference,
    idempotencyKey,
    actor: caller.token?.actor,
    body,
    requestId,
    attempt,
    queue,
  })
  if (status === 202) reply.header('preference-applied', 'respond-async')
  reply.code(status).header('location', `${base}/sends/${send.id}`).header('cache-control', 'no-store')
  if (replayed) reply.header('idempotency-replayed', 'true')
  return send
}
