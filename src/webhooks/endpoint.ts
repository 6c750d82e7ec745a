import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { Pool } from '../lib/undici.ts'
import { userAgent } from '../version.ts'
import type { Clock, WebhookConfig } from './ports.ts'

/** How an endpoint answered; without a status it did not. */
export type Reply = { status: number; retryAfter?: string; error?: never } | { status?: never; retryAfter?: never; error: string }

export type Endpoint = ReturnType<typeof createEndpoint>

export const deliveriesAtOnce = 8
const connectMs = 5_000
const idleMs = 2_000 // shorter than most servers keep an idle connection: the next delivery must not meet its end
const answerBytes = 16_384

/** Where a webhook posts to. Redirects are not followed, and of an answer only the status counts. */
export function createEndpoint({ url, secrets }: WebhookConfig, { now }: Pick<Clock, 'now'>, timeoutMs = 10_000) {
  const signers = secrets.map(secret => new Webhook(secret)) // a receiver takes an event if one of the signatures is good
  const pool = new Pool(url.origin, {
    connections: deliveriesAtOnce + 1, // one for a test
    allowH2: false,
    connect: { timeout: Math.min(connectMs, timeoutMs) },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMs,
    maxHeaderSize: 16_384,
  })

  return {
    /** Differs where the URL or a secret does, and reveals none of them. */
    fingerprint: createHmac('sha256', secrets.join()).update(url.href).digest('base64url').slice(0, 12),
    /** Posts a signed body; never rejects. */
    async post(id: string, body: string, signal?: AbortSignal): Promise<Reply> {
      const timestamp = new Date(now())
      const deadline = new AbortController()
      const timer = setTimeout(() => deadline.abort(), timeoutMs)
      try {
        const answer = await pool.request({
          path: url.pathname + url.search,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'user-agent': userAgent,
            'webhook-id': id,
            'webhook-timestamp': String(Math.floor(timestamp.getTime() / 1_000)),
            'webhook-signature': signers.map(signer => signer.sign(id, timestamp, body)).join(' '),
          },
          body,
          signal: signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal,
        })
        // Nothing of it is kept; the connection is closed when there is more.
        await answer.body.dump({ limit: answerBytes }).catch(() => {})
        const retryAfter = answer.headers['retry-after']
        return { status: answer.statusCode, ...(typeof retryAfter === 'string' && { retryAfter }) }
      } catch (error) {
        return { error: deadline.signal.aborted ? `no answer within ${timeoutMs / 1_000} s` : reasonOf(error) }
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => pool.destroy(),
  }
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  ENOTFOUND: 'the host name does not resolve',
  EAI_AGAIN: 'the host name does not resolve',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_SOCKET: 'the connection was closed before an answer',
}

/** Why there was no answer, without a word that the other side chose. */
function reasonOf(error: unknown): string {
  const found = error instanceof AggregateError ? error.errors[0] : error
  const code = String((found as { code?: unknown } | undefined)?.code ?? 'unknown')
  const known = /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? code : 'unknown'
  return reasons[known] ?? `the connection failed (${known})`
}
